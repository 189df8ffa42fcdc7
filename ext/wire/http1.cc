#include "wire/http1.h"

#include <algorithm>
#include <cstring>

#include "wire/text.h"

namespace rl {
namespace {

// Answers that may pile up before pipelined requests have to wait.
enum : size_t { kEnoughAnswers = 64 << 10, kKeptAnswers = 256 << 10, kKeptRequest = 1 << 10 };
enum : size_t { kMinBufferedInAll = 64 << 20 };

constexpr char kTls = 0x16;  // how a handshake of TLS begins

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace

void Http1Connection::recv(char *bytes, size_t size, int64_t now_ns) {
  if (over_) return;
  received_ns_ = now_ns;
  const size_t taken = waiting_.empty() ? take(bytes, size) : 0;
  if (taken < size && !over_ && !waiting_.append(bytes + taken, size - taken)) abort(-1);
}

bool Http1Connection::send(Buffer *out, size_t limit) {
  Buffer *answers = &context_->answers;
  for (;;) {
    out->append(answers->data(), answers->size());
    answers->clear();
    if (over_ || waiting_.empty() || out->size() >= limit) break;
    waiting_.consume(take(const_cast<char *>(waiting_.data()), waiting_.size()));
  }
  answers->shrink(kKeptAnswers);
  if (waiting_.empty()) waiting_.shrink(0);
  return !over_ && !waiting_.empty();
}

void Http1Connection::finish_shutdown() {
  leaving_ = true;
  if (!in_request() && waiting_.empty()) over_ = true;
}

void Http1Connection::abort(int abuse) {
  if (over_) return;
  if (abuse >= 0) context_->counters->abuse[abuse].add(1);
  if (abuse == RL_ABUSE_STALLED && in_request()) refuse({408, "the request did not arrive in time"});
  over_ = true;
}

// As many requests as may be answered now. Returns the bytes they took.
size_t Http1Connection::take(char *bytes, size_t size) {
  size_t taken = 0;
  while (taken < size && !over_ && context_->answers.size() < kEnoughAnswers) {
    taken += step(bytes + taken, size - taken);
  }
  return taken;
}

size_t Http1Connection::step(char *bytes, size_t size) {
  switch (state_) {
    case State::kLength:
      return take_length(bytes, size);
    case State::kChunked:
      return take_chunks(bytes, size);
    default:
      break;
  }
  if (!head_.empty()) return take_more_head(bytes, size);
  if (blank_ == Blank::kCr || (*bytes == '\r' && blank_ == Blank::kNone)) return take_blank(bytes, size);
  return take_head(bytes, size);
}

// RFC 9112 2.2: one empty line in front of a request is no error.
size_t Http1Connection::take_blank(const char *bytes, size_t size) {
  if (blank_ == Blank::kNone) {
    blank_ = Blank::kCr;
    return 1;
  }
  blank_ = Blank::kPast;
  if (*bytes == '\n') return 1;
  refuse({400, "a line ends with a bare CR"});
  return size;
}

size_t Http1Connection::take_head(char *bytes, size_t size) {
  begun_ns_ = received_ns_;
  // Such a peer waits for an answer to what is no head, and may never send the end of one.
  if (*bytes == kTls) return refuse({400, "this port does not speak TLS"}), size;
  const int64_t found = find_head_end({bytes, static_cast<uint32_t>(size)}, 0);
  if (found <= 0) {
    // A head that comes in pieces is a rare thing.
    return found == kHeadIncomplete ? take_more_head(bytes, size) : (refuse({400, "a line ends with a bare LF"}), size);
  }
  const auto end = static_cast<size_t>(found);
  if (!begin_request(bytes, end)) return size;
  if (state_ == State::kHead) {
    dispatch({});
    return end;
  }
  if (state_ == State::kLength && size - end >= request_.length) {
    state_ = State::kHead;
    dispatch({bytes + end, static_cast<uint32_t>(request_.length)});
    return end + request_.length;
  }
  if (!keep(&head_, bytes, end)) return size;
  await_body(size > end);
  return end;
}

size_t Http1Connection::take_more_head(const char *bytes, size_t size) {
  const size_t before = head_.size(), most = size_t{context_->options.max_header_list} + 1;
  const size_t n = std::min(size, most - before);
  if (!keep(&head_, bytes, n)) return size;
  const int64_t found = find_head_end({head_.data(), static_cast<uint32_t>(head_.size())}, before);
  if (found == kHeadIncomplete && head_.size() < most) return n;
  if (found <= 0) {
    refuse(found == kHeadIncomplete ? HttpRefusal{431, "the head of the request is too large"}
                                    : HttpRefusal{400, "a line ends with a bare LF"});
    return size;
  }
  const auto end = static_cast<size_t>(found);
  context_->buffered -= head_.size() - end;
  head_.truncate(end);
  if (!begin_request(const_cast<char *>(head_.data()), end)) return size;
  if (state_ == State::kHead) {
    finish_kept();
  } else {
    await_body(size > end - before);
  }
  return end - before;
}

// Reads the head, and from it what is to come. False: refused.
bool Http1Connection::begin_request(char *bytes, size_t size) {
  greeted_ = true;
  if (size > context_->options.max_header_list) return refuse({431, "the head of the request is too large"}), false;
  const HttpRefusal refusal = parse_head(bytes, size, context_->fields, &request_);
  if (refusal.status) return refuse(refusal), false;
  if (request_.length > context_->options.max_message) return refuse({413, "the body is too large"}), false;
  if (request_.chunked) {
    chunks_ = {};
    state_ = State::kChunked;
  } else if (request_.length > 0) {
    state_ = State::kLength;
  }
  return true;
}

void Http1Connection::await_body(bool has_begun) {
  if (request_.expects_continue && !has_begun) context_->answers.append(kContinue.data(), kContinue.size());
}

size_t Http1Connection::take_length(const char *bytes, size_t size) {
  const size_t n = std::min<size_t>(size, request_.length - body_.size());
  if (!keep(&body_, bytes, n)) return size;
  if (body_.size() == request_.length) finish_kept();
  return n;
}

size_t Http1Connection::take_chunks(const char *bytes, size_t size) {
  rl_view data;
  const size_t n = chunks_.take({bytes, static_cast<uint32_t>(size)}, &data);
  if (chunks_.broken()) return refuse({400, "the chunks of the body are malformed"}), size;
  if (data.size > context_->options.max_message - body_.size()) return refuse({413, "the body is too large"}), size;
  if (data.size && !keep(&body_, data.data, data.size)) return size;
  if (chunks_.done()) finish_kept();
  return n;
}

// Bytes that will be needed after this read: copied, within the bound for all.
bool Http1Connection::keep(Buffer *to, const char *bytes, size_t size) {
  const size_t most = std::max<size_t>(kMinBufferedInAll, 16 * size_t{context_->options.max_message});
  if (context_->buffered + size > most || !to->append(bytes, size)) {
    context_->counters->shed.add(1);
    refuse({503, "too many incomplete requests"});
    return false;
  }
  context_->buffered += size;
  return true;
}

// The request is whole; its head is in head_.
void Http1Connection::finish_kept() {
  parse_head(const_cast<char *>(head_.data()), head_.size(), context_->fields, &request_);
  state_ = State::kHead;
  dispatch({body_.data(), static_cast<uint32_t>(body_.size())});
  context_->buffered -= kept();
  head_.clear();
  head_.shrink(kKeptRequest);
  body_.clear();
  body_.shrink(kKeptRequest);
}

void Http1Connection::dispatch(rl_view body) {
  blank_ = Blank::kNone;
  HttpAnswer answer(&context_->body);
  const HttpCall call{.method = request_.method,
                      .target = request_.target,
                      .authority = request_.host,
                      .scheme = {},
                      .fields = context_->fields,
                      .field_count = request_.field_count,
                      .body = body,
                      .arrived_ns = received_ns_};
  context_->handler.call(context_->handler.self, call, &answer);
  if (leaving_ || !request_.keep_alive) over_ = true;
  write_answer(answer);
}

// The peer and we may no longer agree where the next request begins: the answer is the last.
void Http1Connection::refuse(HttpRefusal refusal) {
  if (over_) return;
  WireCounters *counters = context_->counters;
  counters->calls[RL_METHOD_UNKNOWN].add(1);
  const int index = http_error_index(refusal.status);
  if (index >= 0) counters->http_errors[index].add(1);
  if (refusal.status == 431) {
    counters->abuse[RL_ABUSE_HEADER_BOMB].add(1);
  } else if (refusal.status == 413) {
    counters->abuse[RL_ABUSE_OVERSIZED].add(1);
  } else if (refusal.status < 500 && refusal.status != 408) {
    counters->abuse[RL_ABUSE_PROTOCOL_ERROR].add(1);
  }
  over_ = true;
  HttpAnswer answer(&context_->body);
  answer_problem(refusal.status, refusal.detail, &answer);
  request_.method = {};
  write_answer(answer);
}

void Http1Connection::write_answer(const HttpAnswer &answer) {
  constexpr size_t kFraming = 256, kPerField = 64;
  const Buffer &body = *answer.body;
  Buffer *out = &context_->answers;
  char *to = out->reserve(kFraming + answer.field_count * kPerField + answer.text_size + body.size());
  if (!to) {
    over_ = true;
    return;
  }
  char *at = write_decimal(copy(to, std::string_view("HTTP/1.1 ")), answer.status);
  *at++ = ' ';
  at = copy(copy(at, status_phrase(answer.status)), std::string_view("\r\ndate: "));
  at = copy(at, context_->handler.date(context_->handler.self));
  for (uint32_t i = 0; i < answer.field_count; i++) {
    at = copy(at, std::string_view("\r\n"));
    at = copy(copy(at, answer.fields[i].name), std::string_view(": "));
    at = copy(at, answer.fields[i].value);
  }
  if (over_) {
    at = copy(at, std::string_view("\r\nconnection: close"));
  } else if (request_.minor == 0) {
    at = copy(at, std::string_view("\r\nconnection: keep-alive"));
  }
  at = write_decimal(copy(at, std::string_view("\r\ncontent-length: ")), body.size());
  at = copy(at, std::string_view("\r\n\r\n"));
  if (!equals(request_.method, "HEAD")) at = copy(at, rl_view{body.data(), static_cast<uint32_t>(body.size())});
  out->commit(static_cast<size_t>(at - to));
}

}  // namespace rl
