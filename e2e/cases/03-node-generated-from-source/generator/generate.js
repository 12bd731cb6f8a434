const fs = require("fs");
const schema = fs.readFileSync(`${process.env.INIT_CWD}/schema.txt`, "utf8").trim();
fs.writeFileSync("model.js", `exports.model = ${JSON.stringify(schema)};\n`);
