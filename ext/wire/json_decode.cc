// CheckRequest and CheckBatchRequest out of JSON.
#include <cstdio>
#include <cstring>

#include "wire/base64.h"
#include "wire/decode.h"
#include "wire/json_messages.h"

namespace rl {
namespace {

struct Names {
  std::string_view camel, plain;
};

enum Field {
  kDomain,
  kSourceAddress,
  kMethod,
  kPath,
  kHost,
  kScheme,
  kHeaders,
  kBody,
  kPartialBody,
  kAttributes,
  kCost,
  kDryRun,
  kExplain,
  kUnknown
};

constexpr Names kFields[] = {
    {"domain", "domain"},
    {"sourceAddress", "source_address"},
    {"method", "method"},
    {"path", "path"},
    {"host", "host"},
    {"scheme", "scheme"},
    {"headers", "headers"},
    {"body", "body"},
    {"partialBody", "partial_body"},
    {"attributes", "attributes"},
    {"cost", "cost"},
    {"dryRun", "dry_run"},
    {"explain", "explain"},
};
static_assert(std::size(kFields) == kUnknown);

// What names what the caller sent is cut to this.
constexpr int kMaxName = 64;

int name_size(rl_view name) { return static_cast<int>(std::min<uint32_t>(name.size, kMaxName)); }

uint32_t field_named(rl_view name) {
  uint32_t i = 0;
  while (i < kUnknown && !equals(name, kFields[i].camel) && !equals(name, kFields[i].plain)) ++i;
  return i;
}

// Fills a request from one object.
struct JsonDraft {
  RequestDraft draft;
  JsonReader *reader;

  // An error of the reader's, about a field.
  void blame(const char *field) {
    if (!reader->failed() || draft.error) return;
    if (reader->error() == JsonReader::kNotJson) return draft.fail(JsonReader::kNotJson);
    char *note = draft.arena->note;
    std::snprintf(note, sizeof draft.arena->note, "%s: %s", field, reader->error());
    draft.fail(note);
  }
  void refuse(rl_view name, const char *why) {
    char *note = draft.arena->note;
    std::snprintf(note, sizeof draft.arena->note, "%.*s: %s", name_size(name), name.data, why);
    draft.fail(note);
    reader->fail(note);
  }
  rl_view bytes();
  void read();
  void read_field(uint32_t field);
  void read_headers();
  void read_header(uint32_t index);
  void read_named_headers();
  void read_attributes();
};

rl_view JsonDraft::bytes() {
  const rl_view text = reader->text();
  rl_view out{};
  char *room = reader->room();
  if (!reader->failed() && !read_base64(text, room, &out)) reader->fail("must be base64");
  reader->use_room(room + out.size);
  return out;
}

void JsonDraft::read_header(uint32_t index) {
  char field[40];
  rl_view key, name{}, value{};
  std::snprintf(field, sizeof field, "headers[%u]", index);
  for (bool in = reader->enter_object(); in && reader->next_member(&key);) {
    const bool is_name = equals(key, "name");
    if (!is_name && !equals(key, "value")) {
      reader->fail("has a member that is not name or value");
      break;
    }
    if (reader->take_null()) continue;
    if (is_name) {
      name = reader->text();
    } else {
      value = bytes();
    }
    if (reader->failed()) std::snprintf(field, sizeof field, "headers[%u].%s", index, is_name ? "name" : "value");
  }
  if (!reader->failed() && name.size == 0) reader->fail("has no name");
  blame(field);
  add_header(&draft, name, value);
}

void JsonDraft::read_headers() {
  if (reader->at_object()) return read_named_headers();
  uint32_t index = 0;
  for (bool in = reader->enter_list(); in && reader->next_item(); ++index) {
    if (index == RL_MAX_HEADERS) return reader->fail("more than 256");
    read_header(index);
  }
}

// {"user-agent": "curl/8"}
void JsonDraft::read_named_headers() {
  rl_view name;
  for (bool in = reader->enter_object(); in && reader->next_member(&name);) {
    if (name.size == 0) return reader->fail("a name is empty");
    const rl_view value = reader->text();
    if (reader->failed()) return;
    if (draft.request->header_count == RL_MAX_HEADERS) return reader->fail("more than 256");
    add_header(&draft, name, value);
  }
}

void JsonDraft::read_attributes() {
  rl_view name;
  for (bool in = reader->enter_object(); in && reader->next_member(&name);) {
    const rl_view value = reader->text();
    if (reader->failed()) return;
    add_attribute(&draft, name, value);
    if (draft.error) return reader->fail(draft.error);
  }
}

void JsonDraft::read_field(uint32_t field) {
  rl_request *out = draft.request;
  switch (field) {
    case kDomain:
      out->domain = reader->text();
      break;
    case kSourceAddress:
      out->source_address = reader->text();
      break;
    case kMethod:
      out->method = reader->text();
      break;
    case kPath:
      out->path = reader->text();
      break;
    case kHost:
      out->host = reader->text();
      break;
    case kScheme:
      out->scheme = reader->text();
      break;
    case kHeaders:
      read_headers();
      break;
    case kBody:
      out->body = bytes();
      out->has_body = 1;
      break;
    case kPartialBody:
      out->partial_body = reader->flag();
      break;
    case kAttributes:
      read_attributes();
      break;
    case kCost:
      out->cost = reader->number();
      break;
    case kDryRun:
      out->dry_run = reader->flag();
      break;
    case kExplain:
      out->explain = reader->flag();
      break;
    default:
      break;
  }
}

void JsonDraft::read() {
  uint32_t seen = 0;
  rl_view name;
  bool in = reader->enter_object();
  if (!in) draft.fail("the message must be a JSON object");
  while (in && reader->next_member(&name)) {
    const uint32_t field = field_named(name);
    if (field == kUnknown) return refuse(name, "is not a field of ratelimitd.v1.CheckRequest");
    if (seen & 1u << field) return refuse(name, "is given twice");
    seen |= 1u << field;
    if (reader->take_null()) continue;
    read_field(field);
    blame(kFields[field].plain.data());
  }
  if (reader->failed() && !draft.error) draft.fail(JsonReader::kNotJson);
}

// Room for texts with escapes and for what they hold in base64; lower-cased names find theirs behind it.
char *text_room(rl_view bytes, RequestArena *arena) {
  const size_t size = bytes.size;
  arena->text.clear();
  char *room = arena->text.reserve(3 * size + 1);
  if (room) arena->text.commit(2 * size + 1);
  return room;
}

}  // namespace

DecodeError decode_check_json(rl_view bytes, RequestArena *arena, rl_request *out) {
  JsonReader reader(bytes, nullptr);
  JsonDraft json{RequestDraft(bytes, arena, out), &reader};
  char *room = text_room(bytes, arena);
  if (!room) return "out of memory";
  reader.use_room(room);
  json.read();
  reader.finish();
  if (reader.failed() && !json.draft.error) json.draft.fail(JsonReader::kNotJson);
  return finish_check(&json.draft);
}

DecodeError JsonBatch::fail(RequestArena *arena, DecodeError why) {
  char text[sizeof arena->note];
  const bool names_field = std::strstr(why, ": ") != nullptr;
  std::snprintf(text, sizeof text, "requests[%u]%s%.200s", count_, names_field ? "." : ": ", why);
  std::memcpy(arena->note, text, sizeof text);
  return arena->note;
}

int JsonBatch::next(RequestArena *arena, rl_request *out, DecodeError *error) {
  JsonDraft json{RequestDraft(bytes_, arena, out), &reader_};
  char *room = text_room(bytes_, arena);
  if (!room) return *error = "out of memory", -1;
  reader_.use_room(room);
  if (!begun_) {
    begun_ = true;
    rl_view name;
    if (!reader_.enter_object()) return *error = "the message must be a JSON object", -1;
    if (!reader_.next_member(&name)) {
      reader_.finish();
      ended_ = true;
    } else if (!equals(name, "requests")) {
      return *error = "the message may hold nothing but requests", -1;
    } else if (!reader_.enter_list()) {
      return *error = "requests: must be a list", -1;
    }
  }
  if (!ended_ && reader_.next_item()) {
    json.read();
    *error = finish_check(&json.draft);
    if (*error) return *error = fail(arena, *error), -1;
    ++count_;
    return 1;
  }
  if (!ended_) {
    rl_view name;
    ended_ = true;
    if (reader_.next_member(&name)) return *error = "the message may hold nothing but requests", -1;
    reader_.finish();
  }
  if (!reader_.failed()) return 0;
  *error = JsonReader::kNotJson;
  return -1;
}

}  // namespace rl
