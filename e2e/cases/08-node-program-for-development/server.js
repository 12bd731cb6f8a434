const kept = require("fs").existsSync("node_modules/hooks") ? "kept" : "pruned";
require("http").createServer((request, response) => response.end(`${kept}\n`)).listen(process.env.PORT);
