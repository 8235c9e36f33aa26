"""Steps for a machine that has a device and no TensorFlow: the day of a GPU."""
