// Addresses and the sockets that listen on them.
#pragma once
#include <cstddef>
#include <string>

namespace rl {

struct Listener {
  int fd = -1;
  bool is_unix = false;
  bool is_tls = false;
  std::string path;  // to unlink when we close; empty: none
};

// Binds and listens; see rl_server_listen for the addresses. A unix socket takes "?mode=0660" (the default) and
// "&group=NAME", and replaces a stale one, on which nobody listens; "unix:@name" is abstract. Returns RL_OK, with the
// address bound as text in *bound, or RL_E_* with *error.
int open_listener(const char *address, Listener *listener, std::string *bound, std::string *error);
// Unlinks the socket that we made, unless another has taken its place.
void close_listener(Listener *listener);

}  // namespace rl
