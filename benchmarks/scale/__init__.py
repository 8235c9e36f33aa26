"""What scaling needs beside: hosts, reductions, a model of the cost."""
