-- http-request lua.ratelimitd: asks ratelimitd whether a request may pass, and answers it when it may not.
local URL = "http://127.0.0.1:8081/auth/haproxy" -- ";domain=shop" behind it for a policy by its name
local TIMEOUT_MS = 100
local FRAMING = { ["connection"] = true, ["content-length"] = true, ["date"] = true, ["transfer-encoding"] = true }

local function first(headers, name)
  return headers and headers[name] and headers[name][0]
end

-- What the client sent, and what HAProxy says of it: that replaces what a client sent under the same name.
local function question(txn)
  local headers = {}
  for name, values in pairs(txn.http:req_get_headers()) do
    if not FRAMING[name] and name ~= "expect" then
      headers[name] = {}
      for i = 0, #values do
        table.insert(headers[name], values[i])
      end
    end
  end
  headers["x-original-method"] = { txn.f:method() }
  headers["x-original-uri"] = { txn.f:pathq() }
  headers["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
  headers["x-forwarded-for"] = headers["x-forwarded-for"] or {}
  table.insert(headers["x-forwarded-for"], txn.f:src())
  return headers
end

core.register_action("ratelimitd", { "http-req" }, function(txn)
  local answer = core.httpclient():get({ url = URL, headers = question(txn), timeout = TIMEOUT_MS })
  if not answer or not answer.status or answer.status == 0 or answer.status >= 500 then
    return -- ratelimitd is away: requests pass
  end
  if answer.status == 200 then
    txn:set_var("txn.ratelimit", first(answer.headers, "ratelimit"))
    txn:set_var("txn.ratelimit_policy", first(answer.headers, "ratelimit-policy"))
    return
  end
  local reply = txn:reply({ status = answer.status, body = txn.f:method() ~= "HEAD" and answer.body or "" })
  for name, values in pairs(answer.headers) do
    if not FRAMING[name] then
      reply:add_header(name, values[0])
    end
  end
  txn:done(reply)
end, 0)
