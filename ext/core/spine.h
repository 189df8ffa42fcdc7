// The seam between net/ (C++: sockets, HTTP/2) and check (Cython: decisions). net/ knows these functions only.
//
// A worker calls enter() before it reads its first request of a turn and leave() before it sleeps; between the two
// every pointer that check() handed out stays valid. No function takes the interpreter lock, waits, or throws.
#pragma once
#include "core/descriptors.h"
#include "core/request.h"
#include "core/response.h"
#include "core/verdict.h"

typedef struct rl_spine {
  void *self;
  void (*enter)(void *self, uint32_t worker);
  void (*leave)(void *self, uint32_t worker);
  // now_ns: CLOCK_REALTIME in nanoseconds, read once per turn. Fills *verdict whole.
  void (*check)(void *self, uint32_t worker, int64_t now_ns, const rl_request *request, rl_verdict *verdict);
  // The same of a response; request says what it answers.
  void (*inspect)(void *self, uint32_t worker, int64_t now_ns, const rl_request *request, const rl_response *response,
                  rl_verdict *verdict);
  // Descriptors instead of a request: *answer says what each meets, *verdict what all of them come to. Fills both
  // whole.
  void (*rate_limit)(void *self, uint32_t worker, int64_t now_ns, const rl_descriptor_call *call,
                     rl_descriptor_answer *answer, rl_verdict *verdict);
} rl_spine;
