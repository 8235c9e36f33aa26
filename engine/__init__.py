"""How a task is trained; knows no task, no data set, no flag."""
