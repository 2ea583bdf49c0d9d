using KlineOrleans.Silo.Setup;

return await Startup.Run(args);
