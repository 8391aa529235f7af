process.stdout.write("fairway\n");
