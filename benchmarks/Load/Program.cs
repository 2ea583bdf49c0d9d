using KlineOrleans.Benchmarks.Load;

// ./load --help says what there is.
if (args.Length == 0 || args.Contains("--help") || args[0] is "help" or "-h")
{
    return LoadHelp.Print();
}

try
{
    return args switch
    {
        ["serve", .. var rest] => await ServeCommand.Run(Arguments.Parse(rest)),
        ["peers", .. var rest] => await PeersCommand.Run(Arguments.Parse(rest)),
        ["slow", .. var rest] => await SlowCommand.Run(Arguments.Parse(rest)),
        ["ceiling", .. var rest] => CeilingCommand.Run(Arguments.Parse(rest)),
        ["client", .. var rest] => await ClientCommand.Run(Arguments.Parse(rest)),
        _ => await ClientCommand.Run(Arguments.Parse(args)),
    };
}
catch (ArgumentException e)
{
    await Console.Error.WriteLineAsync(e.Message);
    return 2;
}
