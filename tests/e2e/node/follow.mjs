// The unmodified official SDK: `node follow.mjs EDGE KEY GATE` prints one line of JSON whenever the gate's
// answer changes, until its standard input ends.
import { createRequire } from "node:module";

// From the folder that the packages are in, which is not this one.
const { Statsig, StatsigUser } = createRequire(process.cwd() + "/")("@statsig/statsig-node-core");

const [edge, key, gate] = process.argv.slice(2);
const statsig = new Statsig(key, {
  specsUrl: `${edge}/v2/download_config_specs`,
  logEventUrl: `${edge}/v1/log_event`,
  idListsUrl: `${edge}/v1/get_id_lists`,
  specsSyncIntervalMs: 1000,
  disableCountryLookup: true,
});
await statsig.initialize();

const user = new StatsigUser({ userID: "ada" });
let last;
const looking = setInterval(() => {
  const value = statsig.checkGate(user, gate);
  if (value !== last) console.log(JSON.stringify({ value }));
  last = value;
}, 5);

process.stdin.resume();
process.stdin.on("end", async () => {
  clearInterval(looking);
  await statsig.shutdown();
  process.exit(0);
});
