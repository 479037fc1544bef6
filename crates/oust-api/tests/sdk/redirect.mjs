// Loaded before a client whose base URL is fixed: requests to SDK_FROM go to SDK_TO instead.
const { SDK_FROM, SDK_TO } = process.env;
const send = globalThis.fetch;
globalThis.fetch = (target, options) => {
  const url = String(target.url ?? target);
  return send(url.startsWith(`${SDK_FROM}/`) ? SDK_TO + url.slice(SDK_FROM.length) : url, options);
};
