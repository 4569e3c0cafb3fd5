// Server-sent events of a POST, which EventSource cannot send.

/** Yield {event, data} as they arrive; throws what the server says when it refuses. */
async function* eventsOf(url, body, key, signal) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal });
  if (!response.ok) throw await refusal(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const found = { event: "message", data: null };
      for (const line of block.split("\n")) {
        if (line.startsWith("event: ")) found.event = line.slice(7);
        if (line.startsWith("data: ")) found.data = line.slice(6);
      }
      if (found.data === "[DONE]") return;
      found.data = JSON.parse(found.data);
      if (found.data.error) throw asError(found.data);
      yield found;
    }
  }
}

async function refusal(response) {
  try {
    return asError(await response.json());
  } catch {
    return new Error(`the server answered ${response.status}`);
  }
}

function asError(body) {
  const error = new Error(body.error.message);
  error.code = body.error.code;
  return error;
}
