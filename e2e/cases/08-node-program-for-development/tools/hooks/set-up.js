#!/usr/bin/env node
console.log("hooks are set up");
