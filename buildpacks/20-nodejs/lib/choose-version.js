// Prints the version of Node.js for a range: the long-term release if it fits, else the newest that does.
// Asks npm for the versions that there are, and keeps the answer in case the registry cannot be reached.
'use strict'
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const [npm, preferred, range, kept] = process.argv.slice(2)
const semver = require(path.join(npm, 'node_modules/semver'))

function fail(problem) {
  console.error(`error: ${problem}`)
  process.exit(1)
}

function published() {
  try {
    const words = [path.join(npm, 'bin/npm-cli.js'), 'view', 'node', 'versions', '--json']
    const answer = execFileSync(process.execPath, words, { stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 16 << 20 })
    fs.writeFileSync(kept, answer)
    return JSON.parse(answer)
  } catch (error) {
    if (fs.existsSync(kept)) return JSON.parse(fs.readFileSync(kept))
    return fail(`the versions of Node.js cannot be listed: ${error.message.split('\n')[0]}`)
  }
}

if (semver.validRange(range) === null) fail(`engines.node is "${range}": write a range such as "24.x"`)
if (semver.satisfies(preferred, range)) {
  console.log(preferred)
} else {
  const versions = published().filter((version) => semver.valid(version) && semver.major(version) >= 16)
  const chosen = semver.maxSatisfying(versions, range)
  const newest = new Map(semver.sort(versions).map((version) => [semver.major(version), version]))
  if (chosen === null) fail(`Node.js ${range} cannot be had: engines.node may ask for ${[...newest.values()].join(', ')} and others of these lines`)
  console.log(chosen)
}
