// openai-node: two lanes of a WebSocket at once, words for a response, and one in the background.
// The first lane's reply waits in its middle, and so does the one in the background.
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const model = process.env.MODEL;
const socket = new ResponsesWS(new OpenAI({ maxRetries: 0 }));

function create(stream_id, input, more) {
  socket.send({ type: "response.create", model, stream_id, input, ...more });
}

async function until(type, stream_id) {
  for await (const event of socket) {
    const told = event.message ?? event;
    if (told.type === "error") throw new Error(JSON.stringify(told));
    if (told.type === type && told.stream_id === stream_id) return told;
  }
}

create("slow", "Tell me more.");
const slow = (await until("response.created", "slow")).response;
await until("response.output_text.delta", "slow");
create("fast", "Say hello.");
const fast = (await until("response.completed", "fast")).response;
socket.send({ type: "response.steer", previous_response_id: slow.id, input: "In French." });
const steered = await until("response.steer.accepted", "slow");
create("later", "Tell me more.", { background: true });
const later = (await until("response.created", "later")).response;
socket.close();
console.log(
  JSON.stringify({
    fast: fast.output[0].content[0].text,
    steered: steered.steer.previous_response_id === slow.id,
    later: later.id,
  }),
);
