// Azurite's Blob service for as long as whoever started us keeps our standard input open: however the tests end, it ends.
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
require("azurite/dist/src/blob/main.js");
