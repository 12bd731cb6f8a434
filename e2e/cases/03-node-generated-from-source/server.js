const { model } = require("generator");
require("http").createServer((request, response) => response.end(`${model}\n`)).listen(process.env.PORT);
