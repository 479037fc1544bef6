-- Asks for one key, or for KEYS of them in an order that visits all and does not follow the one they were stored in.
local keys = tonumber(os.getenv("KEYS"))

if keys > 1 then
   local list, at = {}, 0
   function request()
      if at == 0 and #list == 0 then
         for i = 0, keys - 1 do list[i + 1] = wrk.format("GET", wrk.path .. i) end
      end
      at = (at + 7919) % keys
      return list[at + 1]
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format("\nFIGURES %d %d %d %d %d\n", summary.requests, summary.duration, summary.bytes, latency:percentile(99),
      e.connect + e.read + e.write + e.status + e.timeout))
end
