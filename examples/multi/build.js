'use strict'
const fs = require('node:fs')

fs.writeFileSync('built.txt', `multi example, built by Node.js ${process.versions.node.split('.')[0]}`)
