"""Becomes a door whose file operations are answered by its parent.

python -m tests.support.attack.armed SOCKET BELOW launch.train FLAGS...
"""

import ctypes
import os
import runpy
import socket
import sys

if __name__ == "__main__":
  address, below, *sys.argv = sys.argv[1:]
  connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
  connection.connect(address)
  library = ctypes.CDLL(os.environ["LD_PRELOAD"])
  library.faulty_files_arm(os.fsencode(below), connection.detach())
  runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
