#include "wire/http.h"

#include <cstring>

#include "wire/text.h"

namespace rl {

void HttpAnswer::add(std::string_view name, rl_view value) {
  if (field_count == kMaxFields || value.size > kText - text_size) return;
  char *at = text + text_size;
  copy(at, value);
  text_size += value.size;
  fields[field_count++] = {view_of(name), {at, value.size}};
}

bool is_http_path(rl_view path) {
  const std::string_view text = to_string_view(path);
  return text.starts_with("/auth") || text.starts_with("/v1/") || text.starts_with("/health") ||
         text.starts_with("/json");
}

const rl_pair *find_field(const HttpCall &call, std::string_view name) {
  for (uint32_t i = 0; i < call.field_count; i++) {
    if (equals(call.fields[i].name, name)) return &call.fields[i];
  }
  return nullptr;
}

void answer_problem(uint16_t status, std::string_view detail, HttpAnswer *answer) {
  constexpr uint32_t kMaxDetail = 400;
  answer->status = status;
  answer->add("content-type", view_of("application/problem+json"));
  char *to = answer->body->reserve(128 + 12 * kMaxDetail);
  if (!to) return;
  char *at = copy(copy(to, std::string_view("{\"title\":\"")), status_phrase(status));
  at = write_decimal(copy(at, std::string_view("\",\"status\":")), status);
  const rl_view told = clip_utf8(view_of(detail), kMaxDetail);
  at = write_json_string(copy(at, std::string_view(",\"detail\":")), told);
  const size_t colon = to_string_view(told).find(": ");
  if (colon != std::string_view::npos) {
    at = write_json_string(copy(at, std::string_view(",\"field\":")), {told.data, static_cast<uint32_t>(colon)});
  }
  *at++ = '}';
  answer->body->commit(static_cast<size_t>(at - to));
}

std::string_view status_phrase(uint32_t status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 451:
      return "Unavailable For Legal Reasons";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Request Denied";
  }
}

int http_error_index(uint32_t status) {
  for (int i = 0; i < RL_HTTP_ERROR_COUNT; i++) {
    if (kHttpErrors[i] == status) return i;
  }
  return -1;
}

}  // namespace rl
