// Says what it was asked for, and at /count how often.
let count = 0;
const server = require('http').createServer((request, response) => {
  if (request.url === '/count') return response.end(String(count));
  count += 1;
  request.resume();
  request.on('end', () => {
    response.setHeader('X-App', 'node');
    response.end(`${request.method} ${request.url}`);
  });
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.argv[2]), '127.0.0.1');
