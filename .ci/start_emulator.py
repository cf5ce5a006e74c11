"""Starts ministack with TCP_NODELAY, which it leaves off: without it every keep-alive request costs 44 ms."""

import asyncio.base_events
import runpy
import socket


def set_nodelay(sock):
    if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


asyncio.base_events._set_nodelay = set_nodelay
runpy.run_module("ministack", run_name="__main__", alter_sys=True)
