const { readFileSync } = require("fs");

const built = readFileSync("built.txt");
require("http")
  .createServer((request, response) => response.end(built))
  .listen(process.env.PORT);
