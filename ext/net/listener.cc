#include "net/listener.h"

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <vector>

#include "net/server.h"

namespace rl {
namespace {

enum { kBacklog = 4096 };

int fail(Listener *listener, std::string *error, int code, const std::string &what) {
  *error = what;
  if (listener->fd >= 0) close(listener->fd);
  listener->fd = -1;
  return code;
}

int fail_errno(Listener *listener, std::string *error, const std::string &what) {
  const int code = errno;
  return fail(listener, error, RL_E_ADDRESS, what + ": " + strerror(code));
}

bool open_socket(Listener *listener, int family) {
  listener->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return listener->fd >= 0;
}

// "host:port", "[host]:port", ":port"
bool split(const std::string &address, std::string *host, std::string *port) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) return false;
  *host = address.substr(0, colon);
  *port = address.substr(colon + 1);
  if (port->size() > 5 || port->find_first_not_of("0123456789") != std::string::npos ||
      std::atoi(port->c_str()) > 65535)
    return false;
  if (!host->empty() && host->front() == '[') {
    if (host->back() != ']' || host->size() < 3) return false;
    *host = host->substr(1, host->size() - 2);
    return true;
  }
  return host->find(':') == std::string::npos;  // an IPv6 address without brackets is ambiguous
}

std::string name_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr *>(&address), size, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "";
  }
  return address.ss_family == AF_INET6 ? "[" + std::string(host) + "]:" + port : std::string(host) + ":" + port;
}

bool bind_tcp(Listener *listener, const addrinfo *info) {
  const int on = 1, off = 0;
  if (!open_socket(listener, info->ai_family)) return false;
  setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (info->ai_family == AF_INET6) setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(listener->fd, info->ai_addr, info->ai_addrlen) == 0 && listen(listener->fd, kBacklog) == 0) return true;
  const int code = errno;
  close(listener->fd);
  listener->fd = -1;
  errno = code;
  return false;
}

int open_tcp(const std::string &address, Listener *listener, std::string *bound, std::string *error) {
  std::string host, port;
  if (!split(address, &host, &port)) {
    return fail(listener, error, RL_E_ADDRESS,
                address + ": not an address; write HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH");
  }
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  // All addresses: one socket of both families if the machine has IPv6.
  if (host.empty()) hints.ai_family = AF_INET6;
  const int rc = getaddrinfo(host.empty() ? "::" : host.c_str(), port.c_str(), &hints, &found);
  if (rc != 0) return fail(listener, error, RL_E_ADDRESS, address + ": " + gai_strerror(rc));
  bool done = false;
  for (const addrinfo *info = found; info && !done; info = info->ai_next) done = bind_tcp(listener, info);
  const int code = errno;
  freeaddrinfo(found);
  if (!done && host.empty() && (code == EAFNOSUPPORT || code == EADDRNOTAVAIL)) {
    return open_tcp("0.0.0.0:" + port, listener, bound, error);
  }
  errno = code;
  if (!done) return fail_errno(listener, error, address);
  *bound = name_of(listener->fd);
  return RL_OK;
}

// A socket file that nobody listens on is left over from a process that died.
bool remove_stale(const sockaddr_un &address, socklen_t size) {
  struct stat status;
  if (lstat(address.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool stale = connect(fd, reinterpret_cast<const sockaddr *>(&address), size) != 0 && errno == ECONNREFUSED;
  close(fd);
  return stale && unlink(address.sun_path) == 0;
}

constexpr gid_t kAnyGroup = static_cast<gid_t>(-1);  // as it comes

// Who may connect to a socket file.
struct Access {
  mode_t mode = 0660;
  gid_t group = kAnyGroup;
};

bool read_mode(const std::string &digits, mode_t *mode) {
  if (digits.empty() || digits.size() > 4 || digits.find_first_not_of("01234567") != std::string::npos) return false;
  *mode = static_cast<mode_t>(std::strtol(digits.c_str(), nullptr, 8)) & 0777;
  return true;
}

// By name or number.
bool read_group(const std::string &text, gid_t *group) {
  if (!text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos) {
    *group = static_cast<gid_t>(std::strtoul(text.c_str(), nullptr, 10));
    return true;
  }
  struct group entry, *found = nullptr;
  std::vector<char> room(16 << 10);
  if (getgrnam_r(text.c_str(), &entry, room.data(), room.size(), &found) != 0 || !found) return false;
  *group = found->gr_gid;
  return true;
}

// Takes "?mode=OCTAL&group=NAME" off the path. Returns what is wrong with it, or nothing.
std::string take_access(std::string *path, Access *access) {
  const size_t at = std::min(path->rfind("?mode="), path->rfind("?group="));
  if (at == std::string::npos) return "";
  std::string left = path->substr(at + 1);
  path->erase(at);
  while (!left.empty()) {
    const size_t end = std::min(left.find('&'), left.size());
    const std::string one = left.substr(0, end);
    left.erase(0, end + 1);
    if (one.rfind("mode=", 0) == 0) {
      if (!read_mode(one.substr(5), &access->mode)) return "mode must be octal, like ?mode=0660";
    } else if (one.rfind("group=", 0) == 0) {
      if (!read_group(one.substr(6), &access->group)) return "there is no group '" + one.substr(6) + "'";
    } else {
      return "'" + one + "' is neither mode= nor group=";
    }
  }
  return "";
}

bool grant(const std::string &path, const Access &access) {
  if (access.group != kAnyGroup && chown(path.c_str(), static_cast<uid_t>(-1), access.group) != 0) {
    return false;
  }
  return chmod(path.c_str(), access.mode) == 0;
}

int open_unix(std::string path, Listener *listener, std::string *bound, std::string *error) {
  Access access;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string wrong = take_access(&path, &access);
  if (!wrong.empty()) return fail(listener, error, RL_E_ADDRESS, "unix:" + path + ": " + wrong);
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail(listener, error, RL_E_ADDRESS, "unix:" + path + ": the path of a socket has 1 to 107 bytes");
  }
  memcpy(address.sun_path, path.data(), path.size());
  const bool is_abstract = path[0] == '@';
  if (is_abstract) address.sun_path[0] = 0;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (is_abstract ? 0 : 1));
  if (!open_socket(listener, AF_UNIX)) return fail_errno(listener, error, "unix:" + path);
  listener->is_unix = true;
  // bind() gives the file these bits, less the umask: never more than asked for, not even for a moment.
  if (!is_abstract) fchmod(listener->fd, access.group == kAnyGroup ? access.mode : access.mode & 0700);
  int rc = bind(listener->fd, reinterpret_cast<sockaddr *>(&address), size);
  if (rc != 0 && errno == EADDRINUSE && !is_abstract) {
    rc = remove_stale(address, size) ? bind(listener->fd, reinterpret_cast<sockaddr *>(&address), size)
                                     : (errno = EADDRINUSE, -1);
  }
  if (rc != 0) return fail_errno(listener, error, "unix:" + path);
  if (!is_abstract) listener->path = path;
  if ((!is_abstract && !grant(path, access)) || listen(listener->fd, kBacklog) != 0) {
    const int code = errno;
    if (!is_abstract) unlink(path.c_str());
    errno = code;
    return fail_errno(listener, error, "unix:" + path);
  }
  *bound = "unix:" + path;
  return RL_OK;
}

}  // namespace

int open_listener(const char *address, Listener *listener, std::string *bound, std::string *error) {
  const std::string text = address;
  if (text.rfind("unix:", 0) == 0) return open_unix(text.substr(5), listener, bound, error);
  return open_tcp(text, listener, bound, error);
}

void close_listener(Listener *listener) {
  if (listener->fd < 0) return;
  close(listener->fd);
  listener->fd = -1;
  if (listener->path.empty()) return;
  // After our close nobody listens there, unless a successor has already put its own socket in place.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, listener->path.data(), listener->path.size());
  remove_stale(address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + listener->path.size() + 1));
}

}  // namespace rl
