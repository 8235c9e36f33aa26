"""What families read files with: a cache, SavedModels, any file system."""
