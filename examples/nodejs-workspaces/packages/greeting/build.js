'use strict'
const text = "'use strict'\nmodule.exports = (name) => `${name} example on Node.js ${process.version}`\n"
require('node:fs').writeFileSync(`${__dirname}/index.js`, text)
