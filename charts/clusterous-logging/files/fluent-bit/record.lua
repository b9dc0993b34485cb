-- What becomes of a record on its way to the store: whose it is, under short names, or that it is
-- nobody's. Each field has one type, whatever a program says: a record that the store refuses would
-- be sent again for ever, and all that is with it.

local DEEPEST = 8 -- an object deeper than the mapping allows is refused
local LEVELS = {
  ["0"] = "fatal", ["1"] = "fatal", ["2"] = "critical", ["3"] = "error",
  ["4"] = "warn", ["5"] = "notice", ["6"] = "info", ["7"] = "debug",
}
-- What Kubernetes' own programs write begins with how bad it is, and with month and day.
local KLOG = "^([IWEF])%d%d%d%d %d%d:%d%d:%d%d%.%d+ "
local LETTERS = { I = "info", W = "warn", E = "error", F = "fatal" }
local WORDS = {
  "TRACE", "DEBUG", "INFO", "NOTICE", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL", "PANIC",
}
local TRACES = {
  "^%s*Traceback %(most recent call last%):", "^%s*%+ Exception Group Traceback",
  "^panic: ", "^fatal error: ", "^http: panic serving ", "\n%s+at [^%s(]+%(",
}

local function text(value)
  if value == nil then return nil end
  return (tostring(value):gsub("%z", ""))
end

local function plain(value, depth)
  if type(value) ~= "table" then
    if type(value) == "string" then return text(value) end
    return value
  end
  if depth >= DEEPEST then return "(deeper than is kept)" end
  local made = {}
  for key, inner in pairs(value) do
    if type(key) == "string" then
      key = text(key)
      if key == "" then key = "_" end
    end
    made[key] = plain(inner, depth + 1)
  end
  return made
end

local function is_word(message, word)
  local from, to = message:find(word, 1, true)
  while from do
    local before, after = message:sub(from - 1, from - 1), message:sub(to + 1, to + 1)
    if (from == 1 or not before:find("[%w_]")) and not after:find("[%w_]") then return from end
    from, to = message:find(word, to + 1, true)
  end
  return nil
end

local function level(message, fields)
  for _, one in ipairs(TRACES) do
    if message:find(one) then return "error" end
  end
  for _, key in ipairs({ "level", "severity", "levelname", "lvl" }) do
    if fields and type(fields[key]) == "string" then return fields[key]:lower() end
  end
  local letter = message:match(KLOG)
  if letter then return LETTERS[letter] end
  local first, found = nil, nil
  for _, word in ipairs(WORDS) do
    local at = is_word(message, word)
    if at and (first == nil or at < first) then first, found = at, word:lower() end
  end
  return found
end

local function said(line, fields)
  for _, key in ipairs({ "message", "msg", "log" }) do
    if fields and type(fields[key]) == "string" then return fields[key] end
  end
  return line
end

-- Whether namespaces of the system are asked for is in SYSTEM, which the chart writes.
local function is_wanted(labels, namespace)
  if labels["clusterous.io/logging"] == "false" then return false end
  return labels["clusterous.io/app"] ~= nil or SYSTEM[namespace] == true
end

local function nanoseconds(timestamp)
  return string.format("%d%09d", timestamp.sec, timestamp.nsec)
end

local function of_journal(timestamp, record)
  local message = text(record.MESSAGE) or ""
  return 2, timestamp, {
    message = message,
    level = LETTERS[message:match(KLOG)] or LEVELS[tostring(record.PRIORITY or "6")],
    unit = text(record._SYSTEMD_UNIT),
    node = os.getenv("NODE_NAME"),
    path = text(record.__CURSOR) or "journal",
    nanoseconds = nanoseconds(timestamp),
  }
end

function record(tag, timestamp, record)
  if tag == "journal" then return of_journal(timestamp, record) end
  local pod = record.kubernetes
  if type(pod) ~= "table" then return -1, timestamp, record end
  local labels = type(pod.labels) == "table" and pod.labels or {}
  if not is_wanted(labels, pod.namespace_name) then return -1, timestamp, record end
  local fields = type(record.fields) == "table" and plain(record.fields, 1) or nil
  local line = (text(record.log) or ""):gsub("[\r\n]+$", "")
  return 2, timestamp, {
    message = said(line, fields),
    level = text(level(line, fields)),
    app = text(labels["clusterous.io/app"]),
    component = text(labels["clusterous.io/component"]),
    namespace = text(pod.namespace_name),
    pod = text(pod.pod_name),
    container = text(pod.container_name),
    node = text(pod.host),
    stream = text(record.stream),
    path = text(record.path),
    offset = tonumber(record.offset),
    nanoseconds = nanoseconds(timestamp),
    fields = fields,
  }
end
