// A node of a service that speaks socket.io: `node socketio.cjs OPTIONS`. It says its port, and ends with its standard input.
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer((_, answer) => answer.writeHead(404).end());
const io = new Server(http, JSON.parse(process.argv[2]));
const echo = (socket) => socket.on("echo", (what, done) => done(what));
const chat = io.of("/chat");
chat.use((socket, next) => next(socket.handshake.auth.token === "right" ? undefined : new Error("wrong token")));
for (const namespace of [io, chat]) namespace.on("connection", echo);
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.stdin.on("end", () => process.exit()).resume();
