#include "bytes/pcre.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdlib>

struct rl_pcre_scratch {
  pcre2_match_data *data;
  pcre2_match_context *context;
  pcre2_jit_stack *stack;
};

namespace rl {
namespace {

constexpr size_t kStackStart = 32 * 1024, kStackMost = 512 * 1024;
constexpr uint32_t kHeapMost = 4096;  // KiB, of the interpreter when the compiled form ran out of stack
constexpr int kVerifyMost = 1000;     // matches whose digits are looked at

const pcre2_code *code(const rl_pcre *pattern) { return reinterpret_cast<const pcre2_code *>(pattern); }

int result_of(int status) {
  switch (status) {
    case PCRE2_ERROR_NOMATCH:
      return RL_PCRE_NONE;
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
    case PCRE2_ERROR_JIT_STACKLIMIT:
      return RL_PCRE_LIMIT;
    default:
      return RL_PCRE_ERROR;
  }
}

}  // namespace
}  // namespace rl

rl_pcre *rl_pcre_compile(rl_view pattern, int flags, char *error, uint32_t error_size, uint32_t *at) {
  uint32_t options = PCRE2_DOTALL | PCRE2_MULTILINE | (flags & RL_PCRE_CASELESS ? PCRE2_CASELESS : 0);
  int status;
  size_t offset = 0;
  pcre2_code *code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.size ? pattern.data : ""), pattern.size,
                                   options, &status, &offset, nullptr);
  *at = static_cast<uint32_t>(offset);
  if (!code) {
    pcre2_get_error_message(status, reinterpret_cast<PCRE2_UCHAR *>(error), error_size);
    return nullptr;
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it matching is only slower
  return reinterpret_cast<rl_pcre *>(code);
}

void rl_pcre_free(rl_pcre *pattern) { pcre2_code_free(reinterpret_cast<pcre2_code *>(pattern)); }

rl_pcre_scratch *rl_pcre_scratch_new(uint32_t match_limit) {
  auto *scratch = static_cast<rl_pcre_scratch *>(std::calloc(1, sizeof(rl_pcre_scratch)));
  if (!scratch) return nullptr;
  scratch->data = pcre2_match_data_create(RL_PCRE_GROUPS, nullptr);
  scratch->context = pcre2_match_context_create(nullptr);
  scratch->stack = pcre2_jit_stack_create(rl::kStackStart, rl::kStackMost, nullptr);
  if (!scratch->data || !scratch->context) {
    rl_pcre_scratch_free(scratch);
    return nullptr;
  }
  pcre2_set_match_limit(scratch->context, match_limit);
  pcre2_set_depth_limit(scratch->context, match_limit);
  pcre2_set_heap_limit(scratch->context, rl::kHeapMost);
  if (scratch->stack) pcre2_jit_stack_assign(scratch->context, nullptr, scratch->stack);
  return scratch;
}

void rl_pcre_scratch_free(rl_pcre_scratch *scratch) {
  if (!scratch) return;
  pcre2_match_data_free(scratch->data);
  pcre2_match_context_free(scratch->context);
  pcre2_jit_stack_free(scratch->stack);
  std::free(scratch);
}

int rl_pcre_match(const rl_pcre *pattern, rl_pcre_scratch *scratch, rl_view text, uint32_t from, rl_span *spans) {
  auto subject = reinterpret_cast<PCRE2_SPTR>(text.size ? text.data : "");
  int status = pcre2_match(rl::code(pattern), subject, text.size, from, 0, scratch->data, scratch->context);
  if (status == PCRE2_ERROR_JIT_STACKLIMIT) {
    status = pcre2_match(rl::code(pattern), subject, text.size, from, PCRE2_NO_JIT, scratch->data, scratch->context);
  }
  if (status < 0) return rl::result_of(status);
  int groups = status == 0 ? RL_PCRE_GROUPS : status;  // 0: more groups than fit
  const size_t *offsets = pcre2_get_ovector_pointer(scratch->data);
  for (int i = 0; i < groups; ++i) {
    bool unset = offsets[2 * i] == PCRE2_UNSET;
    spans[i] = unset ? rl_span{1, 0}
                     : rl_span{static_cast<uint32_t>(offsets[2 * i]), static_cast<uint32_t>(offsets[2 * i + 1])};
  }
  return groups;
}

int rl_pcre_next(const rl_pcre *pattern, rl_pcre_scratch *scratch, rl_view text, uint32_t *cursor, rl_span *spans) {
  bool first = *cursor == 0;
  while (*cursor <= text.size) {
    int groups = rl_pcre_match(pattern, scratch, text, *cursor, spans);
    if (groups <= 0) return groups;
    bool empty = spans[0].end <= spans[0].begin;
    *cursor = spans[0].end + (empty ? 1 : 0);
    if (!empty || first) return groups;
  }
  return RL_PCRE_NONE;
}

int rl_pcre_verify(const rl_pcre *pattern, rl_pcre_scratch *scratch, rl_view text, int (*check)(rl_view),
                   rl_span *found) {
  rl_span spans[RL_PCRE_GROUPS];
  uint32_t from = 0;
  for (int tries = 0; tries < rl::kVerifyMost && from < text.size; ++tries) {
    int groups = rl_pcre_match(pattern, scratch, text, from, spans);
    if (groups <= 0) return groups;
    *found = spans[0];
    if (found->end > found->begin && check({text.data + found->begin, found->end - found->begin})) return 1;
    from = found->begin + 1;  // a longer start may have hidden another number
  }
  return from < text.size ? RL_PCRE_LIMIT : RL_PCRE_NONE;
}
