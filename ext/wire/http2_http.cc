// Http2Connection: requests that are not gRPC.
#include <cstring>

#include "wire/http2_events.h"
#include "wire/text.h"

namespace rl {
namespace {

constexpr uint8_t kStaticName = NGHTTP2_NV_FLAG_NO_COPY_NAME;

nghttp2_nv field(std::string_view name, rl_view value) {
  return {reinterpret_cast<uint8_t *>(const_cast<char *>(name.data())),
          reinterpret_cast<uint8_t *>(const_cast<char *>(value.data)), name.size(), value.size, kStaticName};
}

bool is_field(rl_view name, std::string_view literal) { return to_string_view(name) == literal; }

}  // namespace

void Http2Connection::choose_method(Http2Stream *s, rl_view path) {
  s->method = method_of_path(path);
  if (s->method == Method::kUnknown && context_->handler.http.call && is_http_path(path)) {
    s->method = Method::kHttp;
    buffered_ += s->fields.size();
    context_->buffered += s->fields.size();
    return;
  }
  s->fields.clear();
  if (s->method != Method::kUnknown) return;
  path_size_ = static_cast<uint8_t>(path.size < sizeof path_ ? path.size : sizeof path_);
  std::memcpy(path_, path.data, path_size_);
}

void Http2Connection::keep_field(Http2Stream *s, rl_view name, rl_view value) {
  const uint32_t sizes[2] = {name.size, value.size};
  const size_t size = sizeof sizes + name.size + value.size;
  char *to = s->fields.reserve(size);
  if (!to) {
    doom(NGHTTP2_INTERNAL_ERROR, -1);
    return;
  }
  std::memcpy(to, sizes, sizeof sizes);
  copy(copy(to + sizeof sizes, name), value);
  s->fields.commit(size);
  if (is_field(name, "expect")) s->expects_continue = is_field(value, "100-continue");
  if (s->method != Method::kHttp) return;
  buffered_ += size;
  context_->buffered += size;
}

void Http2Connection::finish_http_headers(Http2Stream *s) {
  if (s->too_large) {
    context_->counters->abuse[RL_ABUSE_HEADER_BOMB].add(1);
    return refuse(s, "431");
  }
  if (leaving_ == Leaving::kFinal) return refuse(s, "503");
  if (buffered_ > context_->max_buffered() || context_->buffered > context_->max_buffered_in_all()) {
    context_->counters->shed.add(1);
    return refuse(s, "503");
  }
  if (!s->expects_continue) return;
  const nghttp2_nv fields[] = {field(":status", view_of("100"))};
  if (nghttp2_is_fatal(nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, s->id, nullptr, fields, 1, nullptr))) {
    doom(NGHTTP2_INTERNAL_ERROR, -1);
  }
}

// NULL, or what is wrong with them.
const char *Http2Connection::read_fields(Http2Stream *s, HttpCall *call) {
  const char *at = s->fields.data(), *end = at + s->fields.size();
  const rl_view *host = nullptr;
  while (at < end) {
    uint32_t sizes[2];
    std::memcpy(sizes, at, sizeof sizes);
    const rl_view name{at + sizeof sizes, sizes[0]}, value{name.data + name.size, sizes[1]};
    at = value.data + value.size;
    if (is_field(name, ":method")) {
      call->method = value;
    } else if (is_field(name, ":path")) {
      call->target = value;
    } else if (is_field(name, ":authority")) {
      call->authority = value;
    } else if (is_field(name, ":scheme")) {
      call->scheme = value;
    } else if (name.data[0] != ':') {
      if (call->field_count == RL_MAX_HEADERS) return "headers: more than 256";
      rl_pair *kept = &context_->http_fields[call->field_count++];
      *kept = {name, value};
      if (!is_field(name, "host")) continue;
      if (host) return "Host: more than one";
      host = &kept->value;
    }
  }
  if (!host) return nullptr;
  if (call->authority.data && to_string_view(call->authority) != to_string_view(*host)) {
    return "Host: differs from :authority";
  }
  call->authority = *host;
  return nullptr;
}

void Http2Connection::finish_http_request(Http2Stream *s) {
  HttpAnswer answer(&context_->http_body);
  HttpCall call{.method = {},
                .target = {},
                .authority = {},
                .scheme = {},
                .fields = context_->http_fields,
                .field_count = 0,
                .body = request_bytes(s),
                .arrived_ns = now_ns_};
  if (const char *wrong = read_fields(s, &call)) {
    context_->counters->http_errors[http_error_index(400)].add(1);
    context_->counters->abuse[RL_ABUSE_MALFORMED].add(1);
    answer_problem(400, wrong, &answer);
  } else {
    context_->handler.http.call(context_->handler.http.self, call, &answer);
  }
  answer_http(s, answer, !is_field(call.method, "HEAD") && !answer.body->empty());
}

void Http2Connection::answer_http(Http2Stream *s, const HttpAnswer &answer, bool has_body) {
  char status[20], length[20];
  auto digits = [](char *to, uint64_t value) {
    return rl_view{to, static_cast<uint32_t>(write_decimal(to, value) - to)};
  };
  nghttp2_nv fields[HttpAnswer::kMaxFields + 3];
  size_t count = 0;
  fields[count++] = field(":status", digits(status, answer.status));
  fields[count++] = field("date", context_->handler.http.date(context_->handler.http.self));
  for (uint32_t i = 0; i < answer.field_count; i++) {
    fields[count++] = field(to_string_view(answer.fields[i].name), answer.fields[i].value);
  }
  fields[count++] = field("content-length", digits(length, answer.body->size()));
  mark_ended(s, Status::kOk);
  nghttp2_data_provider provider;
  provider.source.ptr = s;
  provider.read_callback = Http2Events::on_read_answer;
  if (has_body) {
    Buffer *out = &context_->answers;
    s->answer_at = out->size();
    s->answer_size = answer.body->size();
    ++unsent_count_;
    s->opened = true;
    if (!out->append(answer.body->data(), answer.body->size())) {
      out->clear();
      doom(NGHTTP2_INTERNAL_ERROR, -1);
      return;
    }
  }
  if (nghttp2_is_fatal(nghttp2_submit_response(session_, s->id, fields, count, has_body ? &provider : nullptr))) {
    doom(NGHTTP2_INTERNAL_ERROR, -1);
  }
}

}  // namespace rl
