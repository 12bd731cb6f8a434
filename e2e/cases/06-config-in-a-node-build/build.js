const { execSync } = require("child_process");
const { writeFileSync } = require("fs");

const { API_URL, NODE_ENV } = process.env;
const token = execSync("npm config get init-author-name").toString().trim();
writeFileSync("built.txt", `api=${API_URL} environment=${NODE_ENV} token=${token}\n`);
