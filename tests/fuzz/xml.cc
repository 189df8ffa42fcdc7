// rl_xml_read: what it finds fits the room it was given.
#include "bytes/xml.h"

#include <vector>

#include "fuzz.h"

using fuzz::Block;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz::Input input(data, size);
  const uint32_t room = 16u * input.byte();
  std::vector<rl_view> attributes(input.below(16));
  std::vector<rl_pair> arguments(input.below(16));
  const Block body = input.rest();
  Block text(room), values(room);
  rl_xml reader = {};
  reader.text = text.data.get();
  reader.values = values.data.get();
  reader.text_room = reader.values_room = room;
  reader.attributes = attributes.data();
  reader.attributes_room = static_cast<uint32_t>(attributes.size());
  reader.arguments = arguments.data();
  reader.arguments_room = static_cast<uint32_t>(arguments.size());
  const int status = rl_xml_read(&reader, body.view());
  MUST(status <= RL_XML_OK && status >= RL_XML_DEEP);
  MUST(reader.text_size <= room && reader.values_size <= room);
  MUST(reader.attributes_count <= attributes.size() && reader.arguments_count <= arguments.size());
  for (uint32_t i = 0; i < reader.attributes_count; ++i) MUST(values.holds(attributes[i]));
  for (uint32_t i = 0; i < reader.arguments_count; ++i) {
    MUST(values.holds(arguments[i].name) && text.holds(arguments[i].value));
  }
  return 0;
}
