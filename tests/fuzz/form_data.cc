// rl_form_data: a content type and a body. Items lie in the body or the buffer, and there are no more than bytes.
#include "bytes/form_data.h"

#include "fuzz.h"

using fuzz::Block;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz::Input input(data, size);
  const Block type = input.piece(), body = input.rest();
  Block buffer(rl_form_data_room(static_cast<uint32_t>(body.size)));
  rl_form_data reader;
  rl_form_data_item item;
  if (!rl_form_data_start(&reader, type.view(), body.view(), buffer.data.get())) return 0;
  for (size_t count = 0;; ++count) {
    MUST(count <= body.size);
    item = {};
    const int kind = rl_form_data_next(&reader, &item);
    if (kind == RL_FORM_DATA_END) break;
    MUST(kind >= RL_FORM_DATA_NAME && kind <= RL_FORM_DATA_FILE);
    for (rl_view part : {item.name, item.value, item.filename, item.content}) {
      MUST(body.holds(part) || buffer.holds(part));
    }
  }
  MUST(rl_form_data_next(&reader, &item) == RL_FORM_DATA_END);
  MUST(!(reader.flags & RL_FORM_DATA_ERROR) || reader.flags & RL_FORM_DATA_STRICT_ERROR);
  return 0;
}
