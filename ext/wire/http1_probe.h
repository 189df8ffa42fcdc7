// One HTTP/1.1 connection that keeps what it was asked, without a socket, for tests.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "wire/http1.h"
#include "wire/text.h"

namespace rl {

struct AskedSession {
  struct Asked {
    std::string method, target, body;
    std::vector<std::pair<std::string, std::string>> fields;
  };

  AskedSession(uint32_t max_message, uint32_t max_header_list)
      : context({max_message, max_header_list}, {this, on_call, date}, &counters), connection(&context, 1) {}

  // Feeds a copy of exactly that size, since it is rewritten, and answers.
  void recv(const char *bytes, size_t size, int64_t now_ns) {
    const std::unique_ptr<char[]> copy(new char[size]);
    std::memcpy(copy.get(), bytes, size);
    connection.recv(copy.get(), size, now_ns);
    while (connection.send(&out, SIZE_MAX)) {
    }
  }

  static std::string text(rl_view view) { return view.size ? std::string(view.data, view.size) : std::string(); }
  static void on_call(void *self, const HttpCall &call, HttpAnswer *) {
    Asked asked{text(call.method), text(call.target), text(call.body), {}};
    for (uint32_t i = 0; i < call.field_count; i++) {
      asked.fields.emplace_back(text(call.fields[i].name), text(call.fields[i].value));
    }
    static_cast<AskedSession *>(self)->asked.push_back(asked);
  }
  static rl_view date(void *) { return view_of("Thu, 01 Jan 1970 00:00:00 GMT"); }

  WireCounters counters;
  Http1Context context;
  Http1Connection connection;
  std::vector<Asked> asked;
  Buffer out;
};

}  // namespace rl
