// Http2Connection: from messages and statuses to header fields and DATA.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "wire/http2_events.h"

namespace rl {
namespace {

enum : size_t { kMaxUnread = 1 << 20, kKeptAnswers = 256 << 10 };
constexpr uint8_t kNoCopy = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;

nghttp2_nv field(const char *name, size_t name_size, const char *value, size_t value_size, uint8_t flags) {
  return {reinterpret_cast<uint8_t *>(const_cast<char *>(name)), reinterpret_cast<uint8_t *>(const_cast<char *>(value)),
          name_size, value_size, flags};
}

template <size_t N, size_t M>
nghttp2_nv constant(const char (&name)[N], const char (&value)[M]) {
  return field(name, N - 1, value, M - 1, kNoCopy);
}

const nghttp2_nv kHeaders[] = {constant(":status", "200"), constant("content-type", "application/grpc")};
const nghttp2_nv kOkTrailers[] = {constant("grpc-status", "0")};
const nghttp2_nv kAcceptEncoding = constant("grpc-accept-encoding", "identity,gzip");

// grpc-status and grpc-message, in memory that must outlive the submission (nghttp2 copies the values).
struct StatusFields {
  nghttp2_nv fields[2];
  char code[4];
  char text[512];

  StatusFields(Status status, const char *message) {
    const int code_size = std::snprintf(code, sizeof code, "%d", static_cast<int>(status));
    const size_t text_size = percent_encode({message, static_cast<uint32_t>(std::strlen(message))}, text, sizeof text);
    fields[0] = field("grpc-status", 11, code, static_cast<size_t>(code_size), NGHTTP2_NV_FLAG_NO_COPY_NAME);
    fields[1] = field("grpc-message", 12, text, text_size, NGHTTP2_NV_FLAG_NO_COPY_NAME);
  }
};

}  // namespace

Buffer *Http2Connection::begin_message(Http2Stream *s) {
  if (s->ended || doomed_) return nullptr;
  Buffer *out = &context_->answers;
  message_at_ = out->size();
  if (!out->reserve(kPrefixSize)) {
    out->clear();
    doom(NGHTTP2_INTERNAL_ERROR, -1);
    return nullptr;
  }
  out->commit(kPrefixSize);
  return out;
}

void Http2Connection::end_message(Http2Stream *s) {
  Buffer *out = &context_->answers;
  if (out->failed()) {
    out->clear();
    doom(NGHTTP2_INTERNAL_ERROR, -1);
    return;
  }
  const size_t size = out->size() - message_at_;
  char *at = const_cast<char *>(out->data()) + message_at_;
  write_prefix(at, static_cast<uint32_t>(size - kPrefixSize));
  if (!streams_answers(s->method)) {
    s->answer_at = message_at_;
    s->answer_size = size;
    ++unsent_count_;
    return;
  }
  if (unread_ + size > kMaxUnread) {
    out->truncate(message_at_);
    return fail(s, Status::kResourceExhausted, "too many answers are unread");
  }
  if (s->output.empty()) s->answered_ns = now_ns_;
  const bool kept = s->output.append(at, size);
  unread_ += size;
  out->truncate(message_at_);
  if (!kept) {
    doom(NGHTTP2_INTERNAL_ERROR, -1);
    return;
  }
  start_answers(s);
}

void Http2Connection::reply(Http2Stream *s) {
  end_message(s);
  finish_answer(s, Status::kOk);
}

void Http2Connection::drop_message() { context_->answers.truncate(message_at_); }

void Http2Connection::fail(Http2Stream *s, Status status, const char *message, const Details &details) {
  if (s->ended || doomed_) return;
  if (s->method == Method::kHttp) return refuse(s, status == Status::kDeadlineExceeded ? "408" : "503");
  context_->counters->grpc_errors[static_cast<int>(status)].add(1);
  if (s->opened) {
    s->note = message;
    return finish_answer(s, status);
  }
  const StatusFields status_fields(status, message);
  nghttp2_nv fields[6] = {kHeaders[0], kHeaders[1], status_fields.fields[0], status_fields.fields[1]};
  size_t count = 4;
  if (status == Status::kUnimplemented) fields[count++] = kAcceptEncoding;
  char status_proto[kMaxDetails];
  if (!details.empty()) {
    const size_t size =
        encode_details(status, {message, static_cast<uint32_t>(std::strlen(message))}, details, status_proto);
    fields[count++] = field("grpc-status-details-bin", 23, status_proto, size, NGHTTP2_NV_FLAG_NO_COPY_NAME);
  }
  mark_ended(s, status);
  if (nghttp2_is_fatal(nghttp2_submit_response(session_, s->id, fields, count, nullptr)))
    doom(NGHTTP2_INTERNAL_ERROR, -1);
}

// Not gRPC, and not to be answered as a whole: an HTTP status is all that the peer can understand.
void Http2Connection::refuse(Http2Stream *s, const char *status) {
  if (s->ended || doomed_) return;
  const int index = http_error_index(static_cast<uint32_t>(std::atoi(status)));
  if (index >= 0) context_->counters->http_errors[index].add(1);
  if (s->method == Method::kHttp) context_->counters->calls[RL_METHOD_UNKNOWN].add(1);
  const nghttp2_nv fields[] = {field(":status", 7, status, 3, NGHTTP2_NV_FLAG_NO_COPY_NAME)};
  mark_ended(s, Status::kInternal);
  if (nghttp2_is_fatal(nghttp2_submit_response(session_, s->id, fields, 1, nullptr))) doom(NGHTTP2_INTERNAL_ERROR, -1);
}

void Http2Connection::mark_ended(Http2Stream *s, Status status) {
  s->ended = true;
  s->status = status;
  if (s->answered_ns == 0 || s->output.empty()) s->answered_ns = now_ns_;
  if (!s->half_closed) {
    s->early = true;
    ++early_count_;
  }
}

void Http2Connection::finish_answer(Http2Stream *s, Status status) {
  if (s->ended || doomed_) return;
  mark_ended(s, status);
  start_answers(s);
}

// Lets nghttp2 ask for the answer.
void Http2Connection::start_answers(Http2Stream *s) {
  int rc = 0;
  if (!s->opened) {
    s->opened = true;
    nghttp2_data_provider provider;
    provider.source.ptr = s;
    provider.read_callback = Http2Events::on_read_answer;
    rc = nghttp2_submit_response(session_, s->id, kHeaders, std::size(kHeaders), &provider);
  } else if (s->deferred) {
    s->deferred = false;
    rc = nghttp2_session_resume_data(session_, s->id);
  }
  if (nghttp2_is_fatal(rc)) doom(NGHTTP2_INTERNAL_ERROR, -1);
}

size_t Http2Connection::read_answer(Http2Stream *s, uint8_t *to, size_t size) {
  size_t n;
  s->answered_ns = now_ns_;
  if (s->answer_size > 0) {
    n = std::min(size, s->answer_size);
    std::memcpy(to, context_->answers.data() + s->answer_at, n);
    s->answer_at += n;
    s->answer_size -= n;
    if (s->answer_size == 0) --unsent_count_;
  } else {
    n = std::min(size, s->output.size());
    std::memcpy(to, s->output.data(), n);
    s->output.consume(n);
    unread_ -= n;
  }
  return n;
}

bool Http2Connection::submit_trailers(Http2Stream *s) {
  int rc;
  if (s->status == Status::kOk) {
    rc = nghttp2_submit_trailer(session_, s->id, kOkTrailers, std::size(kOkTrailers));
  } else {
    const StatusFields status_fields(s->status, s->note ? s->note : "");
    rc = nghttp2_submit_trailer(session_, s->id, status_fields.fields, std::size(status_fields.fields));
  }
  return !nghttp2_is_fatal(rc);
}

// What the peer's windows did not let out moves to its streams, so that the shared memory is free for the next
// connection.
void Http2Connection::keep_answers() {
  Buffer *answers = &context_->answers;
  for (Http2Stream *s = first_; s && unsent_count_ > 0; s = s->next) {
    if (s->answer_size == 0) continue;
    if (!s->output.append(answers->data() + s->answer_at, s->answer_size)) doom(NGHTTP2_INTERNAL_ERROR, -1);
    unread_ += s->answer_size;
    s->answer_size = 0;
    --unsent_count_;
  }
  answers->clear();
  answers->shrink(kKeptAnswers);
}

void Http2Connection::watch(Http2Stream *s) {
  if (s->watching) return;
  s->watching = true;
  ++watcher_count_;
}

}  // namespace rl
