// Server-sent events, read by fetch: EventSource cannot send the header that carries the token.

const SILENCE = 6000;
const PAUSE = 1000;

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// Every request of this page has the header that a page of another origin cannot set.
export const headers = (token) => ({ 'x-idaas-bridge': 'journal', ...(token ? { authorization: `Bearer ${token}` } : {}) });

export class Stream {
  constructor({ message, state }) {
    this.message = message;
    this.state = state;
    this.run = 0;
  }

  // Reads from now on with this token, until the next call. Resolves to false if the token is rejected.
  async start(token) {
    this.run += 1;
    const run = this.run;
    this.abort?.abort();
    while (run === this.run) {
      const outcome = await this.#once(token, run);
      if (run !== this.run) return true;
      if (outcome === 401) return false;
      this.state(outcome === 503 ? 'busy' : 'lost');
      await wait(PAUSE);
    }
    return true;
  }

  async #once(token, run) {
    const abort = new AbortController();
    this.abort = abort;
    let timer;
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), SILENCE);
    };
    watch();
    try {
      const response = await fetch('/console/stream', { headers: headers(token), signal: abort.signal, cache: 'no-store' });
      if (!response.ok) return response.status;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done || run !== this.run) return 0;
        watch();
        const blocks = (rest + value).split('\n\n');
        rest = blocks.pop();
        blocks.forEach((block) => this.#block(block));
      }
    } catch {
      return 0;
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }

  #block(block) {
    let name = 'message';
    let data = '';
    for (const line of block.split('\n')) {
      if (line.startsWith('event: ')) name = line.slice(7);
      if (line.startsWith('data: ')) data += line.slice(6);
    }
    if (data === '') return;
    this.state('live');
    this.message(name, JSON.parse(data));
  }
}
