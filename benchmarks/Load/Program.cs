using KlineOrleans.Benchmarks.Load;

// ./load --help says what there is.
return args switch
{
    [] or ["--help"] or ["help"] or ["-h"] => LoadHelp.Print(),
    ["serve", .. var rest] => await ServeCommand.Run(Arguments.Parse(rest)),
    ["peers", .. var rest] => await PeersCommand.Run(Arguments.Parse(rest)),
    ["slow", .. var rest] => await SlowCommand.Run(Arguments.Parse(rest)),
    ["ceiling", .. var rest] => CeilingCommand.Run(Arguments.Parse(rest)),
    ["client", .. var rest] => await ClientCommand.Run(Arguments.Parse(rest)),
    _ => await ClientCommand.Run(Arguments.Parse(args)),
};
