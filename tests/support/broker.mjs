// Starts the real sluiced for node's tests: free ports, a folder of its own, looked over when it ends.
//
//   const broker = await startBroker();             // { url, host, port, admin, pid, dir }
//   const again = await startBroker({ flags: ['--listen', `127.0.0.1:${port}`] });
//   await broker.stop();                            // throws on a bad exit or a sanitizer's finding
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const FINDING = /ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:/;
const slow = Number(process.env.SLUICE_TEST_SLOW || 1);
const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../..');

export const artifacts = process.env.SLUICE_ARTIFACTS || path.join(root, 'build/artifacts');

export async function startBroker({ flags = [], settings = {}, dev = true, env = {}, workers = 1 } = {}) {
    const program = process.env.SLUICED || path.join(root, 'build/bin/sluiced');
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-test-'));
    const listen = flags.includes('--listen') ? [] : ['--listen', '127.0.0.1:0'];
    const admin = flags.includes('--admin') ? [] : ['--admin', '127.0.0.1:0'];
    const set = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`]);
    const args = [...(dev ? ['--dev'] : []), ...listen, ...admin, '--data', path.join(dir, 'data'), '--workers',
        String(workers), ...set, ...flags];
    // Ours without the variables that would configure the broker under test.
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SLUICE_')));
    const child = spawn(program, args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'], env: { ...inherited, ...env } });
    const exited = new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)));
    let log = '';
    child.stderr.on('data', (chunk) => { log += chunk; });
    const ready = await new Promise((resolve, reject) => {
        let out = '';
        const late = setTimeout(() => reject(new Error(`sluiced did not get ready\n${out}${log}`)), 10000 * slow);
        child.stdout.on('data', (chunk) => {
            out += chunk;
            const found = /^ready listen=(\S+):(\d+) admin=(\S+)$/m.exec(out);
            if (found) {
                clearTimeout(late);
                resolve({ host: found[1], port: Number(found[2]), admin: found[3] });
            }
        });
        exited.then((code) => { clearTimeout(late); reject(new Error(`sluiced ended with ${code}\n${out}${log}`)); });
    });
    let stopped = false;
    return {
        ...ready,
        url: `ws://${ready.host}:${ready.port}/ws`,
        http: `http://${ready.host}:${ready.port}`,
        dir,
        pid: child.pid,
        log: () => log,
        async stop({ signal = 'SIGTERM', expect = 0 } = {}) {
            if (stopped)
                return;
            stopped = true;
            child.kill(signal);
            const late = setTimeout(() => child.kill('SIGKILL'), 15000 * slow);
            const code = await exited;
            clearTimeout(late);
            fs.rmSync(dir, { recursive: true, force: true });
            if (FINDING.test(log))
                throw new Error(`finding in the broker's log:\n${log.slice(-8000)}`);
            if (expect !== null && signal === 'SIGTERM' && code !== expect)
                throw new Error(`sluiced ended with ${code}\n${log.slice(-4000)}`);
        },
    };
}
