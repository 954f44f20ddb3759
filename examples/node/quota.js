// A client of genquota for gateways: one connection, repeats where they are safe, and an end for every reservation.
//
// Knows nothing of what is generated. `gateway.js` beside it shows how it is used.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomInt, randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import protobuf from 'protobufjs';

// How long one try of a call may take, how long a decision may keep a customer waiting, and how long a settlement is tried, in milliseconds.
const TRY_TIMEOUT_MS = 5_000;
const DECISION_PATIENCE_MS = 10_000;
const SETTLE_PATIENCE_MS = 60_000;

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const contract = loader.loadSync('genquota/v1/quota_service.proto', {
  includeDirs: [process.env.GENQUOTA_PROTO ?? here('../../proto')],
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { QuotaService } = grpc.loadPackageDefinition(contract).genquota.v1;
const rpc = protobuf.loadSync(here('errors.proto'));

/** A "no". Nothing is held; ask again when something has changed. */
export class Denied extends Error {
  constructor(denial) {
    super(denial.message);
    this.denial = denial;
  }

  /** What would help, in words, the cheapest first. */
  remedies() {
    const words = {
      waitUntil: (time) => `wait until ${new Date(Number(time.seconds) * 1000).toISOString()}`,
      upgradeToPlan: (plan) => `change to the plan \`${plan}\``,
      buyCredits: (units) => `buy ${units} credits`,
      useTarget: (target) => `use ${named(target)}`,
      fewerCount: (count) => `ask for ${count}`,
    };
    return this.denial.remedies.filter(({ remedy }) => remedy in words).map((one) => words[one.remedy](one[one.remedy]));
  }
}

/** A call that was not answered as asked. `reason` is ErrorInfo.reason, or the name of the status code. */
export class QuotaError extends Error {
  constructor(method, error) {
    const details = decoded(error);
    const reason = details.ErrorInfo?.reason ?? grpc.status[error.code];
    super(`${method}: ${reason}: ${error.details}`, { cause: error });
    this.code = error.code;
    this.reason = reason;
    this.metadata = details.ErrorInfo?.metadata ?? {};
    this.fields = details.BadRequest?.fieldViolations ?? [];
    const delay = details.RetryInfo?.retryDelay;
    this.retryAfterMs = delay ? Number(delay.seconds ?? 0) * 1000 + (delay.nanos ?? 0) / 1e6 : 0;
  }

  /** Milliseconds until the same call is worth making again, or null where it is not. */
  pauseMs(tries) {
    const { UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED } = grpc.status;
    if (![UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED].includes(this.code) || this.reason === 'STORE_DATA_LOST') {
      return null;
    }
    const backoff = Math.min(2_000, 50 * 2 ** tries);
    return Math.max(this.retryAfterMs, randomInt(Math.ceil(backoff / 2), backoff + 1));
  }
}

/** A connection to a sidecar: `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`. */
export class Quota {
  #client;
  #metadata = new grpc.Metadata();

  constructor(server, { token, ca, cert, key } = {}) {
    const read = (path) => (path ? readFileSync(path) : null);
    const secure = server.startsWith('https://');
    const credentials = secure ? grpc.credentials.createSsl(read(ca), read(key), read(cert)) : grpc.credentials.createInsecure();
    this.#client = new QuotaService(server.replace(/^https?:\/\//, ''), credentials);
    if (token) {
      this.#metadata.set('authorization', `Bearer ${token}`);
    }
  }

  static ofEnvironment(variables = process.env) {
    return new Quota(variables.GENQUOTA_SERVER ?? 'http://127.0.0.1:7070', {
      token: variables.GENQUOTA_TOKEN,
      ca: variables.GENQUOTA_CA,
      cert: variables.GENQUOTA_CLIENT_CERT,
      key: variables.GENQUOTA_CLIENT_KEY,
    });
  }

  close() {
    this.#client.close();
  }

  /**
   * Holds units for one generation and runs `work` with it. The reservation ends with `work`: committed inside, or released at
   * the end. It is held on the first target, with enough for the dearest of the others. Throws Denied.
   */
  async generation({ subject, user, action, targets, work, ttlSeconds = 900, labels }, run) {
    const [target, ...fallbacks] = targets;
    const reservationId = randomUUID();
    const ttl = { seconds: ttlSeconds };
    const answer = await this.call('Reserve', { subject, user, reservationId, action, target, fallbacks, work, ttl, labels }, DECISION_PATIENCE_MS);
    if (answer.outcome === 'denial') {
      throw new Denied(answer.denial);
    }
    const generation = new Generation(this, { subject, reservationId }, targets);
    try {
      return await run(generation);
    } finally {
      await generation.end();
    }
  }

  /**
   * Makes a call, and makes it again with the same payload while nobody knows what became of it. That is safe for every call of
   * QuotaService, because the request carries its own id: what has been done is answered, and not done twice.
   */
  async call(method, request, patienceMs) {
    const deadline = Date.now() + patienceMs;
    for (let tries = 0; ; tries += 1) {
      try {
        return await this.#once(method, request);
      } catch (error) {
        const pause = error.pauseMs(tries);
        if (pause === null || Date.now() + pause > deadline) {
          throw error;
        }
        await sleep(pause);
      }
    }
  }

  #once(method, request) {
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + TRY_TIMEOUT_MS };
      this.#client[method](request, this.#metadata, options, (error, answer) => (error ? reject(new QuotaError(method, error)) : resolve(answer)));
    });
  }
}

/** What is held for one generation. */
class Generation {
  #quota;
  #ids;
  #targets;
  #attempt = 1;
  // How the open attempt ended, where it was no success.
  #outcome = 'OUTCOME_CANCELLED';
  // True: a commit was sent. Even if its answer never came, nothing may be released any more.
  #settled = false;

  constructor(quota, ids, targets) {
    this.#quota = quota;
    this.#ids = ids;
    this.#targets = targets;
  }

  /** The targets to try, each as an attempt of its own; the next one only after `failed`, and only if the plan allows it. */
  async *attempts() {
    // Until the provider's answer is judged, whatever ends the generation is a failure.
    this.#outcome = 'OUTCOME_FAILED';
    yield this.#targets[0];
    for (const nextTarget of this.#targets.slice(1)) {
      const request = { ...this.#ids, attempt: this.#attempt, outcome: this.#outcome, nextTarget };
      const answer = await this.#quota.call('Retry', request, DECISION_PATIENCE_MS);
      if (answer.outcome === 'reservation') {
        this.#attempt += 1;
        this.#outcome = 'OUTCOME_FAILED';
        yield nextTarget;
      }
    }
  }

  /** Says how the open attempt ended. */
  failed(outcome = 'OUTCOME_FAILED') {
    this.#outcome = outcome;
  }

  /** Charges what was made. What was held beyond it goes back. */
  async commit(work) {
    this.#settled = true;
    const answer = await this.#quota.call('Commit', { ...this.#ids, work }, SETTLE_PATIENCE_MS);
    return answer.reservation;
  }

  /** Releases what was not committed. */
  async end() {
    if (this.#settled) {
      return;
    }
    this.#settled = true;
    try {
      await this.#quota.call('Release', { ...this.#ids, outcome: this.#outcome }, SETTLE_PATIENCE_MS);
    } catch (error) {
      // It ends at its deadline. What went wrong inside is the news, and not this.
      console.error(`not released: ${JSON.stringify(this.#ids)}: ${error.message}`);
    }
  }
}

export const named = ({ provider, model }) => `${provider}/${model}`;

/** The typed details of an error, by the name of their type. */
function decoded(error) {
  const found = {};
  const [packed] = error.metadata?.get('grpc-status-details-bin') ?? [];
  for (const { type_url: url, value } of packed ? rpc.lookupType('google.rpc.Status').decode(packed).details : []) {
    const name = url.split('/').at(-1);
    const type = rpc.lookup(name);
    if (type) {
      found[name.split('.').at(-1)] = type.toObject(type.decode(value), { longs: String });
    }
  }
  return found;
}
