// A gRPC load generator for what h2load cannot do: a key that varies from call to call, a fixed rate, and latency by
// percentile.
//
//   load HOST PORT METHOD BODY_FILE [--connections N] [--streams N] [--seconds S] [--requests N] [--warm-up S] [--rate
//   R]
//        [--keys K] [--draw uniform|sequence] [--seed N] [--vary OFFSET:WIDTH:dec|ip]...
//
// BODY_FILE holds one gRPC frame. For every call a key index is drawn from 0..K-1 and written over the frame at each
// --vary: as a zero-padded decimal, or as an IPv4 address of always 15 characters (every octet from 100 on), so that
// lengths inside the message hold. Without --rate the loop is closed: a stream starts its next call when the last is
// answered. With it the calls are due at fixed times and latency counts from the time due, so that a stall of the
// server is not hidden by the calls that it kept from being sent. Prints one JSON object: counts, seconds, rate,
// latency in microseconds. Exit code 1 when a connection failed.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

enum class Kind { kDecimal, kAddress };

struct Vary {
  size_t offset, width;
  Kind kind;
};

struct Options {
  std::string host, method;
  uint16_t port = 0;
  Bytes body;
  unsigned connections = 8, streams = 32;
  double seconds = 2, warm_up = 0, rate = 0;
  uint64_t requests = 0;  // 0: until the time is up
  uint64_t keys = 1, seed = 1;
  bool sequence = false;
  std::vector<Vary> vary;
};

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

// Latencies in log-linear buckets: 64 to each power of two, so a percentile is right within 1.6 %.
struct Histogram {
  static constexpr int kSubBits = 6;
  std::vector<uint64_t> counts = std::vector<uint64_t>(64u << kSubBits);
  uint64_t total = 0, max = 0, sum = 0;

  static size_t index(uint64_t ns) {
    if (ns < (1u << kSubBits)) return ns;
    const int shift = 63 - __builtin_clzll(ns) - kSubBits;
    return (static_cast<size_t>(shift + 1) << kSubBits) + ((ns >> shift) & ((1u << kSubBits) - 1));
  }
  static uint64_t upper(size_t i) {
    if (i < (1u << kSubBits)) return i;
    const size_t shift = (i >> kSubBits) - 1;
    return (((i & ((1u << kSubBits) - 1)) + (1u << kSubBits) + 1) << shift) - 1;
  }
  void add(uint64_t ns) {
    counts[index(ns)]++;
    total++;
    sum += ns;
    max = std::max(max, ns);
  }
  double percentile_us(double p) const {
    const auto rank = static_cast<uint64_t>(p / 100 * static_cast<double>(total));
    uint64_t seen = 0;
    for (size_t i = 0; i < counts.size(); i++) {
      seen += counts[i];
      if (seen > rank) return static_cast<double>(std::min(upper(i), max)) / 1000;
    }
    return static_cast<double>(max) / 1000;
  }
};

// Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014): splitmix64.
struct Draw {
  uint64_t state, keys, next = 0;
  bool sequence;
  uint64_t operator()() {
    if (sequence) return next++ % keys;
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return static_cast<uint64_t>((static_cast<unsigned __int128>(z) * keys) >> 64);
  }
};

void write_digits(uint8_t *at, size_t width, uint64_t value) {
  for (size_t i = width; i-- > 0; value /= 10) at[i] = static_cast<uint8_t>('0' + value % 10);
}

constexpr size_t kAddressWidth = 15;
constexpr uint64_t kOctets = 156;  // 100..255

void write_address(uint8_t *at, uint64_t value) {
  for (int octet = 3; octet >= 0; octet--, value /= kOctets) {
    write_digits(at + 4 * octet, 3, 100 + value % kOctets);
    if (octet > 0) at[4 * octet - 1] = '.';
  }
}

// One of a connection's streams: the call in flight on it, or none.
struct Slot {
  Bytes body;
  size_t sent = 0;
  uint64_t due_ns = 0;
  bool busy = false, answered = false, http_ok = false, grpc_ok = false;
};

struct Load;

struct Connection {
  Load *load = nullptr;
  int fd = -1;
  bool wants_write = false, dead = false;
  nghttp2_session *session = nullptr;
  Bytes output;
  std::vector<Slot> slots;
  std::vector<Slot *> idle;
};

struct Load {
  Options options;
  std::vector<std::unique_ptr<Connection>> connections;
  Draw draw{};
  Histogram latency;
  std::vector<nghttp2_nv> headers;
  std::string authority;
  int poll = -1;
  size_t turn_of = 0;  // the connection that gets the next paced call
  uint64_t started = 0, done = 0, failed = 0, answer_bytes = 0, broken = 0, in_flight = 0;
  uint64_t measure_from = 0, stop_at = 0, last_done = 0;
  double next_due = 0, interval = 0;  // nanoseconds
};

bool exhausted(const Load &load) { return load.options.requests != 0 && load.started >= load.options.requests; }

ssize_t read_body(nghttp2_session *, int32_t, uint8_t *buffer, size_t size, uint32_t *flags,
                  nghttp2_data_source *source, void *) {
  auto *slot = static_cast<Slot *>(source->ptr);
  const size_t n = std::min(size, slot->body.size() - slot->sent);
  memcpy(buffer, slot->body.data() + slot->sent, n);
  slot->sent += n;
  if (slot->sent == slot->body.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(n);
}

void start_call(Connection *c, uint64_t due_ns) {
  Load &load = *c->load;
  Slot *slot = c->idle.back();
  c->idle.pop_back();
  const uint64_t key = load.draw();
  for (const Vary &v : load.options.vary) {
    if (v.kind == Kind::kAddress) {
      write_address(slot->body.data() + v.offset, key);
    } else {
      write_digits(slot->body.data() + v.offset, v.width, key);
    }
  }
  slot->sent = 0;
  slot->due_ns = due_ns;
  slot->busy = true;
  slot->answered = slot->http_ok = slot->grpc_ok = false;
  nghttp2_data_provider provider{};
  provider.source.ptr = slot;
  provider.read_callback = read_body;
  load.started++;
  load.in_flight++;
  if (nghttp2_submit_request(c->session, nullptr, load.headers.data(), load.headers.size(), &provider, slot) < 0) {
    c->dead = true;
  }
}

int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
              const uint8_t *value, size_t value_size, uint8_t, void *) {
  auto *slot = static_cast<Slot *>(nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
  if (slot == nullptr) return 0;
  const std::string_view n(reinterpret_cast<const char *>(name), name_size);
  const std::string_view v(reinterpret_cast<const char *>(value), value_size);
  if (n == ":status") slot->http_ok = v == "200";
  if (n == "grpc-status") slot->grpc_ok = v == "0";
  return 0;
}

int on_data(nghttp2_session *session, uint8_t, int32_t stream, const uint8_t *, size_t size, void *user) {
  auto *slot = static_cast<Slot *>(nghttp2_session_get_stream_user_data(session, stream));
  if (slot != nullptr) slot->answered = true;
  static_cast<Connection *>(user)->load->answer_bytes += size;
  return 0;
}

int on_close(nghttp2_session *session, int32_t stream, uint32_t, void *user) {
  auto *c = static_cast<Connection *>(user);
  Load &load = *c->load;
  auto *slot = static_cast<Slot *>(nghttp2_session_get_stream_user_data(session, stream));
  if (slot == nullptr || !slot->busy) return 0;
  const uint64_t now = now_ns();
  slot->busy = false;
  c->idle.push_back(slot);
  load.in_flight--;
  if (now >= load.measure_from) {
    load.done++;
    load.last_done = now;
    if (!slot->http_ok || !slot->grpc_ok || !slot->answered) load.failed++;
    load.latency.add(now - slot->due_ns);
  }
  return 0;
}

int on_frame(nghttp2_session *, const nghttp2_frame *frame, void *user) {
  if (frame->hd.type == NGHTTP2_GOAWAY) static_cast<Connection *>(user)->dead = true;
  return 0;
}

void flush(Connection *c) {
  const uint8_t *data;
  ssize_t n;
  while ((n = nghttp2_session_mem_send(c->session, &data)) > 0) c->output.insert(c->output.end(), data, data + n);
  if (n < 0) c->dead = true;
  if (!c->output.empty()) {
    n = send(c->fd, c->output.data(), c->output.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) c->dead = true;
    if (n > 0) c->output.erase(c->output.begin(), c->output.begin() + n);
  }
  if (c->wants_write == !c->output.empty()) return;
  c->wants_write = !c->output.empty();
  epoll_event event{};
  event.events = EPOLLIN | (c->wants_write ? static_cast<uint32_t>(EPOLLOUT) : 0u);
  event.data.ptr = c;
  epoll_ctl(c->load->poll, EPOLL_CTL_MOD, c->fd, &event);
}

void receive(Connection *c) {
  static uint8_t input[128 << 10];
  const ssize_t n = recv(c->fd, input, sizeof input, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0 || nghttp2_session_mem_recv(c->session, input, static_cast<size_t>(n)) < 0) c->dead = true;
}

// A dead connection's calls count as failed; the run goes on with the others.
void bury(Connection *c) {
  Load &load = *c->load;
  if (c->fd < 0) return;
  load.broken++;
  for (Slot &slot : c->slots) {
    if (!slot.busy) continue;
    slot.busy = false;
    load.failed++;
    load.in_flight--;
  }
  c->idle.clear();
  close(c->fd);
  c->fd = -1;
}

void fill_closed_loop(Connection *c, uint64_t now) {
  while (!c->idle.empty() && !exhausted(*c->load)) start_call(c, now);
}

// Starts what is due. A call that finds no free stream stays due, and its wait counts.
void start_due(Load &load, uint64_t now) {
  while (load.next_due <= static_cast<double>(now) && !exhausted(load)) {
    Connection *free = nullptr;
    for (size_t tries = 0; tries < load.connections.size() && free == nullptr; tries++) {
      Connection *c = load.connections[load.turn_of++ % load.connections.size()].get();
      if (!c->dead && !c->idle.empty()) free = c;
    }
    if (free == nullptr) return;
    start_call(free, static_cast<uint64_t>(load.next_due));
    load.next_due += load.interval;
  }
}

void run(Load &load) {
  const bool paced = load.options.rate > 0;
  const uint64_t start = now_ns();
  load.measure_from = start + static_cast<uint64_t>(load.options.warm_up * 1e9);
  load.stop_at = load.measure_from + static_cast<uint64_t>(load.options.seconds * 1e9);
  load.interval = paced ? 1e9 / load.options.rate : 0;
  load.next_due = static_cast<double>(start);
  if (!paced) {
    for (auto &c : load.connections) fill_closed_loop(c.get(), start);
  }
  for (auto &c : load.connections) flush(c.get());
  epoll_event ready[64];
  for (;;) {
    const uint64_t before = now_ns();
    const bool by_count = load.options.requests != 0;
    if (by_count ? exhausted(load) && load.in_flight == 0 : before >= load.stop_at) return;
    if (load.broken == load.connections.size()) return;
    if (paced) start_due(load, before);
    for (auto &c : load.connections) {
      if (paced && !c->dead && nghttp2_session_want_write(c->session)) flush(c.get());
    }
    const int n = epoll_wait(load.poll, ready, 64, paced ? 0 : 100);  // a paced run spins: it has a core of its own
    for (int i = 0; i < n; i++) {
      auto *c = static_cast<Connection *>(ready[i].data.ptr);
      if (!c->dead) receive(c);
      if (!c->dead && !paced) fill_closed_loop(c, now_ns());
      if (!c->dead) flush(c);
      if (c->dead) bury(c);
    }
  }
}

int open_socket(const Options &options) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1 ||
      connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0) {
    perror("load: connect");
    exit(1);
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return fd;
}

void open_connection(Load &load, nghttp2_session_callbacks *callbacks, nghttp2_option *options) {
  auto c = std::make_unique<Connection>();
  c->load = &load;
  c->fd = open_socket(load.options);
  nghttp2_session_client_new2(&c->session, callbacks, c.get(), options);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20},
                                             {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
  nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2);
  nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, 64 << 20);
  c->slots.resize(load.options.streams);
  for (Slot &slot : c->slots) {
    slot.body = load.options.body;
    c->idle.push_back(&slot);
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = c.get();
  epoll_ctl(load.poll, EPOLL_CTL_ADD, c->fd, &event);
  load.connections.push_back(std::move(c));
}

nghttp2_nv field(std::string_view name, std::string_view value) {
  return {(uint8_t *)name.data(), (uint8_t *)value.data(), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

void open_all(Load &load) {
  const Options &o = load.options;
  load.poll = epoll_create1(EPOLL_CLOEXEC);
  load.draw = {o.seed, o.keys, 0, o.sequence};
  load.authority = o.host + ":" + std::to_string(o.port);
  load.headers = {field(":method", "POST"),     field(":scheme", "http"),
                  field(":path", o.method),     field(":authority", load.authority),
                  field("te", "trailers"),      field("content-type", "application/grpc"),
                  field("user-agent", "load/1")};
  nghttp2_session_callbacks *callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
  nghttp2_option *options = nullptr;
  nghttp2_option_new(&options);
  nghttp2_option_set_peer_max_concurrent_streams(options, o.streams);
  for (unsigned i = 0; i < o.connections; i++) open_connection(load, callbacks, options);
  nghttp2_option_del(options);
  nghttp2_session_callbacks_del(callbacks);
}

void print_report(const Load &load) {
  const uint64_t end = std::max(load.last_done, load.measure_from + 1);
  const double seconds = static_cast<double>(end - load.measure_from) / 1e9;
  const double done = static_cast<double>(load.done);
  const Histogram &h = load.latency;
  printf("{\"requests\": %llu, \"failed\": %llu, \"broken_connections\": %llu, \"seconds\": %.6f, \"rate\": %.1f, ",
         static_cast<unsigned long long>(load.done), static_cast<unsigned long long>(load.failed),
         static_cast<unsigned long long>(load.broken), seconds, done / seconds);
  printf("\"answer_bytes\": %.1f, \"latency_us\": {\"mean\": %.3f, \"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, ",
         load.started ? static_cast<double>(load.answer_bytes) / static_cast<double>(load.started) : 0,
         h.total ? static_cast<double>(h.sum) / static_cast<double>(h.total) / 1000 : 0, h.percentile_us(50),
         h.percentile_us(90), h.percentile_us(99));
  printf("\"p99.9\": %.3f, \"max\": %.3f}}\n", h.percentile_us(99.9), static_cast<double>(h.max) / 1000);
}

[[noreturn]] void usage(const char *why) {
  fprintf(stderr, "load: %s (see the head of load.cc)\n", why);
  exit(2);
}

Bytes read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == nullptr) usage("cannot read BODY_FILE");
  Bytes bytes(1 << 20);
  bytes.resize(fread(bytes.data(), 1, bytes.size(), file));
  fclose(file);
  return bytes;
}

Vary parse_vary(const char *text, size_t body_size) {
  Vary v{};
  char kind[8] = "";
  if (sscanf(text, "%zu:%zu:%7s", &v.offset, &v.width, kind) != 3) usage("--vary wants OFFSET:WIDTH:dec|ip");
  v.kind = strcmp(kind, "ip") == 0 ? Kind::kAddress : Kind::kDecimal;
  if (v.kind == Kind::kAddress && v.width != kAddressWidth) usage("an address is 15 wide");
  if (v.offset > body_size || v.width > body_size - v.offset) usage("--vary outside the body");
  return v;
}

Options parse(int argc, char **argv) {
  if (argc < 5) usage("HOST PORT METHOD BODY_FILE are needed");
  Options o;
  o.host = argv[1];
  o.port = static_cast<uint16_t>(atoi(argv[2]));
  o.method = argv[3];
  o.body = read_file(argv[4]);
  for (int i = 5; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char *value = argv[i + 1];
    if (name == "--connections")
      o.connections = static_cast<unsigned>(atoi(value));
    else if (name == "--streams")
      o.streams = static_cast<unsigned>(atoi(value));
    else if (name == "--seconds")
      o.seconds = atof(value);
    else if (name == "--warm-up")
      o.warm_up = atof(value);
    else if (name == "--requests")
      o.requests = strtoull(value, nullptr, 10);
    else if (name == "--rate")
      o.rate = atof(value);
    else if (name == "--keys")
      o.keys = std::max<uint64_t>(1, strtoull(value, nullptr, 10));
    else if (name == "--seed")
      o.seed = strtoull(value, nullptr, 10);
    else if (name == "--draw")
      o.sequence = strcmp(value, "sequence") == 0;
    else if (name == "--vary")
      o.vary.push_back(parse_vary(value, o.body.size()));
    else
      usage("unknown option");
  }
  if (argc % 2 == 0) usage("an option without a value");
  if (o.connections == 0 || o.streams == 0) usage("no connections or streams");
  return o;
}

}  // namespace

int main(int argc, char **argv) {
  Load load;
  load.options = parse(argc, argv);
  open_all(load);
  run(load);
  print_report(load);
  return load.broken == 0 ? 0 : 1;
}
