"""The HTTP/1.1 connection without a socket, for tests only."""

from libc.stdint cimport int64_t, uint32_t
from libcpp.pair cimport pair
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from "wire/http1_probe.h" namespace "rl" nogil:
    cdef cppclass Buffer:
        const char *data()
        size_t size()

    cdef cppclass Http1Connection:
        bint finished()

    cdef cppclass Asked "rl::AskedSession::Asked":
        string method
        string target
        string body
        vector[pair[string, string]] fields

    cdef cppclass AskedSession:
        AskedSession(uint32_t max_message, uint32_t max_header_list)
        void recv(const char *bytes, size_t size, int64_t now_ns)
        Http1Connection connection
        vector[Asked] asked
        Buffer out


def requests_of(list reads, *, uint32_t max_message=4096, uint32_t max_header_list=4096):
    """What comes of bytes that are read in these pieces: [(method, target, fields, body)], the answers, is it over?"""
    cdef AskedSession *session = new AskedSession(max_message, max_header_list)
    cdef Asked *asked
    cdef bytes data
    cdef size_t i
    try:
        for data in reads:
            session.recv(data, len(data), 1)
        found = []
        for i in range(session.asked.size()):
            asked = &session.asked[i]
            found.append((asked.method, asked.target, [(f.first, f.second) for f in asked.fields], asked.body))
        return found, session.out.data()[: session.out.size()], session.connection.finished()
    finally:
        del session
