// Runs a job with npm @imagekit/nodejs: {"base", "key", "calls": [[name, argument], ...]} on stdin, an outcome a call on stdout.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const { ImageKit } = createRequire(`${process.env.SDK_PREFIX}/`)('@imagekit/nodejs');
const { base, key, calls } = JSON.parse(await text(process.stdin));
const { invalidation } = new ImageKit({ privateKey: key, baseURL: base }).cache;
const outcomes = [];
for (const [name, argument] of calls) {
  try {
    const answer = await (name === 'create' ? invalidation.create({ url: argument }) : invalidation.get(argument));
    outcomes.push({ ok: answer.requestId ?? answer.status });
  } catch (error) {
    outcomes.push({ error: error.constructor.name, status: error.status, message: error.error?.message });
  }
}
console.log(JSON.stringify(outcomes));
