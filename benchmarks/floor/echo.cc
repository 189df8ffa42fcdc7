// The floor: the least that a gRPC answer over nghttp2 costs. One thread, epoll, one read and one write per turn; every
// request is read to its end and answered with the same message of N bytes, with the headers, trailers, SETTINGS and
// window updates of a gRPC server. It decides nothing and keeps no state per stream. What our server spends above it is
// ours.
//
//   echo SIZE        listens on 127.0.0.1, any port, and prints "port N"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace {

constexpr size_t kReadSize = 128 << 10;
constexpr uint32_t kStreamWindow = 1 << 20;
constexpr int32_t kConnectionWindow = 16 << 20;  // wide, so that a window update is rare
constexpr uint32_t kMaxStreams = 1024;

std::vector<uint8_t> answer;  // the gRPC frame: flag, length, message
nghttp2_session_callbacks *callbacks = nullptr;
nghttp2_option *options = nullptr;

struct Connection {
  int fd = -1;
  bool wants_write = false;  // EPOLLOUT is on: the peer is slower than we
  nghttp2_session *session = nullptr;
  std::vector<uint8_t> output;
};

#define FIELD(name, value)                                                     \
  {(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1, \
   NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE}

const nghttp2_nv kHeaders[] = {FIELD(":status", "200"), FIELD("content-type", "application/grpc")};
const nghttp2_nv kTrailers[] = {FIELD("grpc-status", "0")};

// nghttp2 hands back the stream's own copy of the source, so its fd serves as the count of bytes sent.
ssize_t read_answer(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t size, uint32_t *flags,
                    nghttp2_data_source *source, void *) {
  const size_t sent = static_cast<size_t>(source->fd);
  const size_t n = std::min(size, answer.size() - sent);
  memcpy(buffer, answer.data() + sent, n);
  source->fd = static_cast<int>(sent + n);
  if (sent + n == answer.size()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (nghttp2_submit_trailer(session, stream, kTrailers, 1) != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
  return static_cast<ssize_t>(n);
}

int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *) {
  const bool carries_request = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
  if (!carries_request || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
  nghttp2_data_provider provider{};
  provider.read_callback = read_answer;
  const int rc = nghttp2_submit_response(session, frame->hd.stream_id, kHeaders, 2, &provider);
  return nghttp2_is_fatal(rc) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

bool open_session(Connection *c) {
  if (nghttp2_session_server_new2(&c->session, callbacks, c, options) != 0) return false;
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kMaxStreams},
                                             {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow}};
  return nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2) == 0 &&
         nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, kConnectionWindow) == 0;
}

void close_connection(Connection *c) {
  nghttp2_session_del(c->session);
  close(c->fd);
  delete c;
}

bool collect_output(Connection *c) {
  const uint8_t *data;
  ssize_t n;
  while ((n = nghttp2_session_mem_send(c->session, &data)) > 0) c->output.insert(c->output.end(), data, data + n);
  return n == 0;
}

bool flush(int poll, Connection *c) {
  if (!c->output.empty()) {
    const ssize_t n = send(c->fd, c->output.data(), c->output.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return false;
    if (n > 0) c->output.erase(c->output.begin(), c->output.begin() + n);
  }
  if (c->wants_write != !c->output.empty()) {
    c->wants_write = !c->output.empty();
    epoll_event event{};
    event.events = c->wants_write ? EPOLLOUT : EPOLLIN;  // a slow reader is not read from
    event.data.ptr = c;
    epoll_ctl(poll, EPOLL_CTL_MOD, c->fd, &event);
  }
  return true;
}

bool turn(int poll, Connection *c, uint32_t events) {
  static uint8_t input[kReadSize];
  if (events & EPOLLIN) {
    const ssize_t n = recv(c->fd, input, sizeof input, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return false;
    if (n > 0 && nghttp2_session_mem_recv(c->session, input, static_cast<size_t>(n)) < 0) return false;
  } else if (events & (EPOLLERR | EPOLLHUP)) {
    return false;
  }
  if (!collect_output(c) || !flush(poll, c)) return false;
  return nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session) || !c->output.empty();
}

void accept_all(int poll, int listener) {
  for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto *c = new Connection;
    c->fd = fd;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = c;
    if (!open_session(c) || !collect_output(c) || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0 || !flush(poll, c)) {
      close_connection(c);
    }
  }
}

int listen_anywhere(uint16_t *port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr *>(&address), size) != 0 || listen(fd, 512) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size) != 0) {
    perror("echo: listen");
    exit(1);
  }
  *port = ntohs(address.sin_port);
  return fd;
}

void make_answer(size_t size) {
  answer.assign(5 + size, 'x');
  answer[0] = 0;
  for (int i = 0; i < 4; i++) answer[1 + i] = static_cast<uint8_t>(size >> (24 - 8 * i));
}

void make_session_parts() {
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_option_new(&options);
  nghttp2_option_set_no_closed_streams(options, 1);  // no memory of streams past
}

}  // namespace

int main(int argc, char **argv) {
  char *end = nullptr;
  const unsigned long size = argc == 2 ? strtoul(argv[1], &end, 10) : 0;
  if (argc != 2 || *end != '\0' || size > (1 << 20)) {
    fprintf(stderr, "usage: echo SIZE   (bytes of the answer, at most 1 MiB)\n");
    return 2;
  }
  make_answer(size);
  make_session_parts();
  uint16_t port = 0;
  const int listener = listen_anywhere(&port);
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;  // data.ptr is NULL: the listener
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  printf("port %u\n", port);
  fflush(stdout);
  for (;;) {
    epoll_event ready[64];
    const int n = epoll_wait(poll, ready, 64, -1);
    for (int i = 0; i < n; i++) {
      auto *c = static_cast<Connection *>(ready[i].data.ptr);
      if (c == nullptr) {
        accept_all(poll, listener);
      } else if (!turn(poll, c, ready[i].events)) {
        close_connection(c);
      }
    }
  }
}
