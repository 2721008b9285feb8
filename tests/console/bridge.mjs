// A real bridge and a broker for it: the embedded one of `idaas-bridge demo`, which can be paused and killed.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const program = process.env.IDAAS_BRIDGE;

const children = new Set();
export const killAll = () => children.forEach((child) => child.kill('SIGKILL'));
process.on('exit', killAll);

function start(args, options = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' }, ...options });
  children.add(child);
  child.ended = new Promise((done) => child.once('exit', (code) => {
    children.delete(child);
    done(code);
  }));
  return child;
}

// Reads lines until one matches, and then reads on, so that the pipe never fills.
function line(stream, pattern) {
  return new Promise((found, failed) => {
    const seen = [];
    const reader = createInterface({ input: stream });
    reader.on('line', (text) => {
      seen.push(text);
      const match = pattern.exec(text);
      if (match) found(match);
    });
    reader.on('close', () => failed(new Error(`${pattern} did not come:\n${seen.join('\n')}`)));
  });
}

async function run(args, expected = 0) {
  const child = start(args);
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (output += text));
  const code = await child.ended;
  if (code !== expected) throw new Error(`idaas-bridge ${args.join(' ')} exited with ${code}:\n${output}`);
  return output;
}

// A broker with the topics of the default prefix. It is ready once the demo has sent its own events.
export async function startBroker() {
  const child = start(['demo', '--brief', '--stay']);
  child.stderr.resume();
  const address = line(child.stdout, /^ *Kafka +(\S+)/);
  const ready = line(child.stdout, /Staying up/);
  const broker = { address: (await address)[1], pause: () => child.kill('SIGSTOP'), resume: () => child.kill('SIGCONT') };
  broker.kill = () => child.kill('SIGKILL');
  await ready;
  return broker;
}

export class Bridge {
  static async start(broker) {
    const bridge = new Bridge();
    bridge.directory = mkdtempSync(join(tmpdir(), 'idaas-bridge-console-'));
    bridge.keys = join(bridge.directory, 'keys');
    await run(['simulate', 'init', bridge.keys, '--applications', '3']);
    bridge.configuration = join(bridge.keys, 'bridge.toml');
    const text = readFileSync(bridge.configuration, 'utf8');
    // Without the token that was written, ids are shown to requests from this machine.
    writeFileSync(bridge.configuration, text
      .replace(/^admin_token = .*\n/m, '')
      .replace(/^listen = "[^"]*"/m, 'listen = "127.0.0.1:0"')
      .replace(/^admin_listen = "[^"]*"/m, 'admin_listen = "127.0.0.1:0"')
      .replace(/^bootstrap_servers = .*/m, `bootstrap_servers = ["${broker.address}"]`)
      .replace(/^create = true/m, 'create = false'));
    bridge.child = start(['serve', '--config', bridge.configuration]);
    bridge.child.stdout.resume();
    const [, listen, admin] = await line(bridge.child.stderr, / listen=(\S+) admin_listen=(\S+)/);
    bridge.callbacks = `http://${listen}`;
    bridge.console = `http://${admin}`;
    return bridge;
  }

  // Sends events as IDaaS does. `args` are those of `simulate send`.
  send(...args) {
    return run(['simulate', 'send', '--to', this.callbacks, '--keys', this.keys, ...args]);
  }

  // The same, where events are not confirmed.
  sendUnconfirmed(...args) {
    return run(['simulate', 'send', '--once', '--to', this.callbacks, '--keys', this.keys, ...args], 1);
  }

  sendUser(data) {
    const path = join(this.directory, 'user.json');
    writeFileSync(path, JSON.stringify(data));
    return this.send('--type', 'user:create', '--data', path);
  }

  // Every line of the files with keys that is long enough to be a secret.
  secrets() {
    const files = readdirSync(this.keys).filter((name) => /\.(key|pem|token)$/.test(name));
    return files.flatMap((name) => readFileSync(join(this.keys, name), 'utf8').split('\n')).filter((text) => text.length > 20 && !text.startsWith('-----'));
  }

  // The token that `simulate init` wrote.
  adminToken() {
    return readFileSync(join(this.keys, 'admin.token'), 'utf8').trim();
  }

  // The running bridge notices the change by itself.
  requireAdminToken() {
    const text = readFileSync(this.configuration, 'utf8');
    writeFileSync(this.configuration, text.replace('[server]\n', '[server]\nadmin_token = { file = "admin.token" }\n'));
  }

  // Ends it, and returns its exit code.
  end() {
    this.child.kill('SIGTERM');
    return this.child.ended;
  }

  remove() {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
