"""The HTTP/2 connection and the stateless parts of gRPC, without a socket, for tests only."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ratelimitd._ext.core cimport rl_view


cdef extern from "wire/grpc.h" namespace "rl" nogil:
    int64_t c_parse_timeout "rl::parse_timeout"(rl_view text)
    bint c_is_grpc_content_type "rl::is_grpc_content_type"(rl_view value)
    size_t c_percent_encode "rl::percent_encode"(rl_view text, char *out, size_t capacity)


cdef extern from "wire/http2_probe.h" namespace "rl" nogil:
    cdef cppclass Counter:
        uint64_t get()

    cdef struct Http2Options:
        uint32_t max_streams
        uint32_t max_message
        uint32_t max_header_list

    cdef cppclass WireCounters:
        Counter *abuse
        Counter shed

    cdef cppclass Buffer:
        const char *data()
        size_t size()
        void clear()

    cdef cppclass Http2Connection:
        bint send(Buffer *out, size_t limit, int64_t now_ns)
        bint finished()
        bint expire(int64_t now_ns, int64_t stall_ns)
        void begin_shutdown()
        void finish_shutdown()
        uint32_t stream_count()

    cdef cppclass ConnectionOwner "std::unique_ptr<rl::Http2Connection>":
        Http2Connection *get()
        void reset()

    cdef cppclass Http2Context:
        size_t buffered

    cdef cppclass EchoSession:
        EchoSession(const Http2Options &options) except +
        bint open(int64_t now_ns)
        void recv(const char *bytes, size_t size, int64_t now_ns)
        WireCounters counters
        uint64_t messages
        Http2Context context
        ConnectionOwner connection
        Buffer out


cdef rl_view view(bytes data):
    cdef rl_view v
    v.data = data
    v.size = <uint32_t>len(data)
    return v


def parse_timeout(bytes text):
    return c_parse_timeout(view(text))


def is_grpc_content_type(bytes value):
    return c_is_grpc_content_type(view(value))


def percent_encode(bytes text, size_t capacity=1024):
    cdef bytearray out = bytearray(capacity + 1)
    return bytes(out[: c_percent_encode(view(text), out, capacity)])


cdef class Session:
    """A server's side of a connection that echoes messages, on a clock of the caller's."""

    cdef EchoSession *_session

    def __cinit__(self, *, uint32_t max_streams=16, uint32_t max_message=1000, uint32_t max_header_list=4096):
        cdef Http2Options options
        options.max_streams = max_streams
        options.max_message = max_message
        options.max_header_list = max_header_list
        self._session = new EchoSession(options)
        if not self._session.open(1):
            raise MemoryError

    def __dealloc__(self):
        del self._session

    def recv(self, bytes data, int64_t now_ns=1):
        self._session.recv(data, len(data), now_ns)

    def send(self, size_t limit=1 << 30, int64_t now_ns=1):
        """The frames to write, and whether there are more."""
        cdef bint more = self._session.connection.get().send(&self._session.out, limit, now_ns)
        cdef bytes frames = self._session.out.data()[: self._session.out.size()]
        self._session.out.clear()
        return frames, more

    def expire(self, int64_t now_ns, int64_t stall_ns):
        return self._session.connection.get().expire(now_ns, stall_ns)

    def begin_shutdown(self):
        self._session.connection.get().begin_shutdown()

    def finish_shutdown(self):
        self._session.connection.get().finish_shutdown()

    def finished(self):
        return self._session.connection.get().finished()

    def stream_count(self):
        return self._session.connection.get().stream_count()

    def messages(self):
        return self._session.messages

    def abuse(self):
        return [self._session.counters.abuse[i].get() for i in range(7)]

    def close(self):
        """Frees the connection; returns the bytes that its context still counts as buffered."""
        self._session.connection.reset()
        return self._session.context.buffered
