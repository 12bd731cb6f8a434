exports.model = "nothing generated";
