// OpenFeature's unmodified web provider: `node listen.mjs EDGE KEY FLAG` prints one line of JSON whenever the flag's
// value changes, until its standard input ends.
import { createRequire } from "node:module";

// From the folder that the packages are in, which is not this one.
const require = createRequire(process.cwd() + "/");
const { OpenFeature, ProviderEvents } = require("@openfeature/web-sdk");
const { OFREPWebProvider } = require("@openfeature/ofrep-web-provider");
globalThis.EventSource = require("eventsource").EventSource;

const [baseUrl, key, flag] = process.argv.slice(2);
await OpenFeature.setContext({ targetingKey: "ada" });
const provider = new OFREPWebProvider({
  baseUrl,
  headers: [["X-API-Key", key]],
  cacheMode: "disabled",
});
await OpenFeature.setProviderAndWait(provider);

const client = OpenFeature.getClient();
let last;
const look = () => {
  const value = client.getBooleanValue(flag, false);
  if (value !== last) console.log(JSON.stringify({ value }));
  last = value;
};
client.addHandler(ProviderEvents.ConfigurationChanged, look);
const looking = setInterval(look, 20);
look();

process.stdin.resume();
process.stdin.on("end", async () => {
  clearInterval(looking);
  await OpenFeature.close();
  process.exit(0);
});
