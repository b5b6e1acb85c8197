// Reporter for node's test runner: a line in $RESULTS for each test, failures in full, a count at the end.
// Works from Node 18 on, where each file is reported as a test of its own: those are left out.
import fs from 'node:fs';
import path from 'node:path';

const suite = process.env.SUITE || 'node';
const results = process.env.RESULTS;

function record(status, name, seconds, reason) {
    const line = [status, suite, name, seconds.toFixed(3), reason.replace(/\s+/g, ' ').slice(0, 300)].join('\t');
    if (results)
        fs.appendFileSync(results, line + '\n');
}

function reasonOf(data) {
    const error = data.details?.error;
    const cause = error?.cause ?? error;
    return String(cause?.stack ?? cause?.message ?? cause ?? '');
}

export default async function* report(source) {
    const count = { pass: 0, fail: 0, skip: 0 };
    for await (const { type, data } of source) {
        if (type === 'test:stderr' || type === 'test:stdout') {
            yield data.message;
            continue;
        }
        if (type !== 'test:pass' && type !== 'test:fail')
            continue;
        if (data.details?.type === 'suite')
            continue;
        const isFile = /\.(mjs|js|cjs)$/.test(data.name) && path.isAbsolute(data.name);
        if (isFile && (type === 'test:pass' || data.details?.error?.failureType === 'subtestsFailed'))
            continue;
        const file = data.file ? path.basename(data.file) + ': ' : '';
        const name = isFile ? path.basename(data.name) : file + data.name;
        const seconds = (data.details?.duration_ms ?? 0) / 1000;
        const skipped = data.skip !== undefined && data.skip !== false;
        const status = skipped ? 'skip' : type === 'test:pass' ? 'pass' : 'fail';
        count[status]++;
        const reason = status === 'pass' ? '' : skipped ? String(data.skip) : reasonOf(data);
        record(status, name, seconds, reason);
        if (status !== 'pass')
            yield `${status.toUpperCase()} ${name} (${seconds.toFixed(2)} s)\n${reason.replace(/^/gm, '     ')}\n`;
    }
    yield `${suite}: ${count.pass} passed, ${count.fail} failed, ${count.skip} skipped\n`;
}
