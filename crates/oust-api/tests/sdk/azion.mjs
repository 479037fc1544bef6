// Runs a job with npm azion: {"key", "calls": [[name, argument], ...]} on stdin, an outcome a call on stdout.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const { createClient } = createRequire(`${process.env.SDK_PREFIX}/`)('azion/purge');
const { key, calls } = JSON.parse(await text(process.stdin));
const client = createClient({ token: key });
const outcomes = [];
for (const [name, argument] of calls) {
  const { data, error } = await client[name](argument);
  outcomes.push(data ? { ok: data } : { error: error.message });
}
console.log(JSON.stringify(outcomes));
