"""What has been trained: restored, asked, exported, looked after."""
